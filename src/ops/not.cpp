// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Logical negation. ONNX Not-1.
struct Not : ElementwiseOp<Not> {
  static constexpr std::string_view kName = "Not";
  static constexpr Signature kSignature = {1, 1, Types::kBool};
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kNot, x[0]); }
};

}  // namespace

const OpInfo& op_not() { return op_info<Not>(); }

}  // namespace lathe::ops
