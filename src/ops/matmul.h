// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// a[…, M, K] × b[…, K, N] → […, M, N], numpy broadcasting of the leading dimensions; both ranks >= 2 (importers lift
/// vectors). With trans_a / trans_b the last two dimensions of that operand are exchanged: b is […, N, K].
/// Integers of 8 and 16 bits yield exact sums of (a - a_zero) * (b - b_zero) (see _integer.h).
struct MatMul : OpBase<MatMul> {
  static constexpr std::string_view kName = "MatMul";
  bool trans_a = false;
  bool trans_b = false;
  int64_t a_zero = 0, b_zero = 0;  ///< of integers

  void visit(AttrVisitor& v) override {
    v.attr("trans_a", trans_a);
    v.attr("trans_b", trans_b);
    v.attr("a_zero", a_zero);
    v.attr("b_zero", b_zero);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
