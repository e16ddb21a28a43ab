// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Smallest integer not below x. ONNX Ceil-13.
struct Ceil : ElementwiseOp<Ceil> {
  static constexpr std::string_view kName = "Ceil";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kCeil, x[0]); }
};

}  // namespace

const OpInfo& op_ceil() { return op_info<Ceil>(); }

}  // namespace lathe::ops
