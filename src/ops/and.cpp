// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Logical and. ONNX And-7.
struct And : ElementwiseOp<And> {
  static constexpr std::string_view kName = "And";
  static constexpr Signature kSignature = {2, 2, Types::kBool};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kAnd, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_and() { return op_info<And>(); }

}  // namespace lathe::ops
