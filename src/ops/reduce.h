// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Reduction over `axes` (non-negative, sorted). kind: sum, mean, max, min, prod, sum_square, l1, l2, log_sum,
/// log_sum_exp. Floats accumulate in f32 (f64 for f64), integers in their own type. An empty reduction gives the
/// neutral element.
struct Reduce : OpBase<Reduce> {
  static constexpr std::string_view kName = "Reduce";
  std::string kind = "sum";
  std::vector<int64_t> axes = {};
  bool keepdims = true;

  void visit(AttrVisitor& v) override {
    v.attr("kind", kind);
    v.attr("axes", axes);
    v.attr("keepdims", keepdims);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
