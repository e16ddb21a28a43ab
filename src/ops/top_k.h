// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The k largest (or smallest) elements along `axis` (non-negative) and their indices; input k is an i64 tensor of one
/// element. Of equal elements the one with the lower index comes first. With `sorted` false any order is allowed; this
/// reference sorts. ONNX TopK-11.
struct TopK : OpBase<TopK> {
  static constexpr std::string_view kName = "TopK";
  int64_t axis = 0;
  bool largest = true;
  bool sorted = true;

  void visit(AttrVisitor& v) override {
    v.attr("axis", axis);
    v.attr("largest", largest);
    v.attr("sorted", sorted);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
