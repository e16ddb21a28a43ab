// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Normalisation over the trailing dimensions from `axis` (non-negative): (x - mean) / sqrt(var + epsilon) * scale +
/// bias; inputs x, scale (optional), bias (optional), the last two of x's trailing shape. With `rms` no mean is
/// subtracted (RMSNormalization-23). ONNX LayerNormalization-17, output 0 only.
struct LayerNorm : OpBase<LayerNorm> {
  static constexpr std::string_view kName = "LayerNorm";
  int64_t axis = 0;
  double epsilon = 1e-5;
  bool rms = false;

  void visit(AttrVisitor& v) override {
    v.attr("axis", axis);
    v.attr("epsilon", epsilon);
    v.attr("rms", rms);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
