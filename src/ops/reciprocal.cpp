// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// 1 / x. ONNX Reciprocal-13.
struct Reciprocal : ElementwiseOp<Reciprocal> {
  static constexpr std::string_view kName = "Reciprocal";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kReciprocal, x[0]); }
};

}  // namespace

const OpInfo& op_reciprocal() { return op_info<Reciprocal>(); }

}  // namespace lathe::ops
