// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Joins the inputs along `axis` (non-negative).
struct Concat : OpBase<Concat> {
  static constexpr std::string_view kName = "Concat";
  int64_t axis = 0;

  void visit(AttrVisitor& v) override { v.attr("axis", axis); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
