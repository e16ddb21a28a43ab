// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse hyperbolic tangent. ONNX Atanh-22.
struct Atanh : ElementwiseOp<Atanh> {
  static constexpr std::string_view kName = "Atanh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAtanh, x[0]); }
};

}  // namespace

const OpInfo& op_atanh() { return op_info<Atanh>(); }

}  // namespace lathe::ops
