// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Hyperbolic tangent. ONNX Tanh-13.
struct Tanh : ElementwiseOp<Tanh> {
  static constexpr std::string_view kName = "Tanh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kTanh, x[0]); }
};

}  // namespace

const OpInfo& op_tanh() { return op_info<Tanh>(); }

}  // namespace lathe::ops
