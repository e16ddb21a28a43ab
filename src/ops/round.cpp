// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Nearest integer, halves to even. ONNX Round-22.
struct Round : ElementwiseOp<Round> {
  static constexpr std::string_view kName = "Round";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kRound, x[0]); }
};

}  // namespace

const OpInfo& op_round() { return op_info<Round>(); }

}  // namespace lathe::ops
