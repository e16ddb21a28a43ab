// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// -1, 0 or 1; NaN stays. ONNX Sign-13.
struct Sign : ElementwiseOp<Sign> {
  static constexpr std::string_view kName = "Sign";
  static constexpr Signature kSignature = {1, 1, Types::kNumeric};
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kSign, x[0]); }
};

}  // namespace

const OpInfo& op_sign() { return op_info<Sign>(); }

}  // namespace lathe::ops
