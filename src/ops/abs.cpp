// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// |x|. ONNX Abs-13.
struct Abs : ElementwiseOp<Abs> {
  static constexpr std::string_view kName = "Abs";
  static constexpr Signature kSignature = {1, 1, Types::kNumeric};
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAbs, x[0]); }
};

}  // namespace

const OpInfo& op_abs() { return op_info<Abs>(); }

}  // namespace lathe::ops
