// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Discrete Fourier transform of x[…, n, …, c] along `axis`, c = 1 (real) or 2 (real and imaginary part) → […, m, …,
/// 2]. `onesided` gives the first n/2 + 1 values; with `inverse` it takes those and gives the real signal of `length`
/// values (0: 2 (n - 1)), […, length, …, 1]. Inverse transforms are divided by their length. ONNX DFT-20 with the
/// length resolved.
struct Dft : OpBase<Dft> {
  static constexpr std::string_view kName = "Dft";
  int64_t axis = 1;
  bool inverse = false;
  bool onesided = false;
  int64_t length = 0;

  void visit(AttrVisitor& v) override {
    v.attr("axis", axis);
    v.attr("inverse", inverse);
    v.attr("onesided", onesided);
    v.attr("length", length);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
