// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Keeps the upper (or lower) triangle of the last two dimensions and zeroes the rest; input 1 (optional scalar) shifts
/// the diagonal. ONNX Trilu-14.
struct Trilu : OpBase<Trilu> {
  static constexpr std::string_view kName = "Trilu";
  bool upper = true;

  void visit(AttrVisitor& v) override { v.attr("upper", upper); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
