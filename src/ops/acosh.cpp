// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse hyperbolic cosine. ONNX Acosh-22.
struct Acosh : ElementwiseOp<Acosh> {
  static constexpr std::string_view kName = "Acosh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAcosh, x[0]); }
};

}  // namespace

const OpInfo& op_acosh() { return op_info<Acosh>(); }

}  // namespace lathe::ops
