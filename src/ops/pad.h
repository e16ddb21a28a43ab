// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Inputs x, pads (i64: begins then ends for every axis; negative crops), value (optional scalar). ONNX Pad-24 with the
/// axes input already spread. mode: constant | reflect | edge | wrap.
struct Pad : OpBase<Pad> {
  static constexpr std::string_view kName = "Pad";
  std::string mode = "constant";

  void visit(AttrVisitor& v) override { v.attr("mode", mode); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
