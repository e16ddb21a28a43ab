// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Tangent. ONNX Tan-22.
struct Tan : ElementwiseOp<Tan> {
  static constexpr std::string_view kName = "Tan";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kTan, x[0]); }
};

}  // namespace

const OpInfo& op_tan() { return op_info<Tan>(); }

}  // namespace lathe::ops
