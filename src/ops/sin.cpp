// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Sine. ONNX Sin-22.
struct Sin : ElementwiseOp<Sin> {
  static constexpr std::string_view kName = "Sin";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kSin, x[0]); }
};

}  // namespace

const OpInfo& op_sin() { return op_info<Sin>(); }

}  // namespace lathe::ops
