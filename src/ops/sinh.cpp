// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Hyperbolic sine. ONNX Sinh-22.
struct Sinh : ElementwiseOp<Sinh> {
  static constexpr std::string_view kName = "Sinh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kSinh, x[0]); }
};

}  // namespace

const OpInfo& op_sinh() { return op_info<Sinh>(); }

}  // namespace lathe::ops
