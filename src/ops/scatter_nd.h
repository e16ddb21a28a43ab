// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// A copy of x in which the slices chosen by index tuples (the last dimension of indices) are combined with those of
/// updates. reduction: none | add | mul | min | max. ONNX ScatterND-18.
struct ScatterND : OpBase<ScatterND> {
  static constexpr std::string_view kName = "ScatterND";
  std::string reduction = "none";

  void visit(AttrVisitor& v) override { v.attr("reduction", reduction); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
