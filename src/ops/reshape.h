// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// x and the wanted shape as an i64 tensor whose elements are known when shapes are (content): plain sizes; importers
/// resolve ONNX's 0 and -1 where they can and else leave -1 (one at most) and 0 (`allow_zero` false: copies the
/// input's).
struct Reshape : OpBase<Reshape> {
  static constexpr std::string_view kName = "Reshape";
  bool allow_zero = false;

  void visit(AttrVisitor& v) override { v.attr("allow_zero", allow_zero); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
