// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The sizes of dimensions start … end-1 of the input as an i64 vector; negative bounds count from the end, and both
/// are clamped. ONNX Shape-15. Its content is known symbolically, so it never reaches a kernel where shapes are static.
struct ShapeOf : OpBase<ShapeOf> {
  static constexpr std::string_view kName = "Shape";
  int64_t start = 0;
  int64_t end = INT64_MAX;

  void visit(AttrVisitor& v) override {
    v.attr("start", start);
    v.attr("end", end);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
