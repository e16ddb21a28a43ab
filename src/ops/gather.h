// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Rows of x along `axis` (non-negative) chosen by indices i32/i64 (negative counts from the end): ONNX Gather-13.
struct Gather : OpBase<Gather> {
  static constexpr std::string_view kName = "Gather";
  int64_t axis = 0;

  void visit(AttrVisitor& v) override { v.attr("axis", axis); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
