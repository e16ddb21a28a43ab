// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// -x. ONNX Neg-13.
struct Neg : ElementwiseOp<Neg> {
  static constexpr std::string_view kName = "Neg";
  static constexpr Signature kSignature = {1, 1, Types::kSigned};
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kNeg, x[0]); }
};

}  // namespace

const OpInfo& op_neg() { return op_info<Neg>(); }

}  // namespace lathe::ops
