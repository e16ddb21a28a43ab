// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse cosine. ONNX Acos-22.
struct Acos : ElementwiseOp<Acos> {
  static constexpr std::string_view kName = "Acos";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAcos, x[0]); }
};

}  // namespace

const OpInfo& op_acos() { return op_info<Acos>(); }

}  // namespace lathe::ops
