// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Convolution, channels last: x[N, spatial…, C] * w[M, spatial…, C/group] (+ b[M]) → y[N, spatial…, M]. One or two
/// spatial dimensions (importers lift one to two). Cross-correlation, ONNX Conv-22 semantics otherwise.
/// Depthwise is group == C. Integers of 8 and 16 bits yield exact sums of (x - x_zero) * (w - w_zero) (see
/// _integer.h), so that padding stands for x_zero; b then has the type of the sums.
struct Conv : OpBase<Conv> {
  static constexpr std::string_view kName = "Conv";
  std::vector<int64_t> strides = {1, 1};
  std::vector<int64_t> pads = {0, 0, 0, 0};  ///< begins, then ends; may be negative
  std::vector<int64_t> dilations = {1, 1};
  int64_t group = 1;
  int64_t x_zero = 0, w_zero = 0;  ///< of integers

  void visit(AttrVisitor& v) override {
    v.attr("strides", strides);
    v.attr("pads", pads);
    v.attr("dilations", dilations);
    v.attr("group", group);
    v.attr("x_zero", x_zero);
    v.attr("w_zero", w_zero);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
