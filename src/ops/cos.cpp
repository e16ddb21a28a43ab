// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Cosine. ONNX Cos-22.
struct Cos : ElementwiseOp<Cos> {
  static constexpr std::string_view kName = "Cos";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kCos, x[0]); }
};

}  // namespace

const OpInfo& op_cos() { return op_info<Cos>(); }

}  // namespace lathe::ops
