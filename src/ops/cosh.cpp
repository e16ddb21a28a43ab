// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Hyperbolic cosine. ONNX Cosh-22.
struct Cosh : ElementwiseOp<Cosh> {
  static constexpr std::string_view kName = "Cosh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kCosh, x[0]); }
};

}  // namespace

const OpInfo& op_cosh() { return op_info<Cosh>(); }

}  // namespace lathe::ops
