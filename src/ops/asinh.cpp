// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse hyperbolic sine. ONNX Asinh-22.
struct Asinh : ElementwiseOp<Asinh> {
  static constexpr std::string_view kName = "Asinh";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAsinh, x[0]); }
};

}  // namespace

const OpInfo& op_asinh() { return op_info<Asinh>(); }

}  // namespace lathe::ops
