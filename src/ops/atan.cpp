// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse tangent. ONNX Atan-22.
struct Atan : ElementwiseOp<Atan> {
  static constexpr std::string_view kName = "Atan";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAtan, x[0]); }
};

}  // namespace

const OpInfo& op_atan() { return op_info<Atan>(); }

}  // namespace lathe::ops
