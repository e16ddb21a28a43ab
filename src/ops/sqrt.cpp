// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Square root; NaN below 0. ONNX Sqrt-13.
struct Sqrt : ElementwiseOp<Sqrt> {
  static constexpr std::string_view kName = "Sqrt";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kSqrt, x[0]); }
};

}  // namespace

const OpInfo& op_sqrt() { return op_info<Sqrt>(); }

}  // namespace lathe::ops
