// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Inputs indices, depth (one element), values [off, on]: a new dimension of size depth at `axis` (non-negative), on
/// where its coordinate is the index (negative ones count from the end; others out of range give off everywhere). ONNX
/// OneHot-11.
struct OneHot : OpBase<OneHot> {
  static constexpr std::string_view kName = "OneHot";
  int64_t axis = 0;

  void visit(AttrVisitor& v) override { v.attr("axis", axis); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
