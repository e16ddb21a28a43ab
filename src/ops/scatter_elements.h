// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// A copy of x in which element [i… with coordinate `axis` replaced by indices[i…]] is combined with updates[i…].
/// reduction: none | add | mul | min | max. ONNX ScatterElements-18.
struct ScatterElements : OpBase<ScatterElements> {
  static constexpr std::string_view kName = "ScatterElements";
  int64_t axis = 0;
  std::string reduction = "none";

  void visit(AttrVisitor& v) override {
    v.attr("axis", axis);
    v.attr("reduction", reduction);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
