// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// x * Phi(x) with the normal distribution's Phi, by erf or by the usual tanh approximation. ONNX Gelu-20.
struct Gelu : ElementwiseOp<Gelu> {
  static constexpr std::string_view kName = "Gelu";
  static constexpr Signature kSignature = kUnaryFloat;
  std::string approximate = "none";  ///< "none" | "tanh"

  void visit(AttrVisitor& v) override { v.attr("approximate", approximate); }
  [[nodiscard]] Expr of(Inputs x) const;
};

}  // namespace lathe::ops
