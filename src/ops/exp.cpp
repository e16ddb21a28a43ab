// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// e^x. ONNX Exp-13.
struct Exp : ElementwiseOp<Exp> {
  static constexpr std::string_view kName = "Exp";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kExp, x[0]); }
};

}  // namespace

const OpInfo& op_exp() { return op_info<Exp>(); }

}  // namespace lathe::ops
