// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Logical or. ONNX Or-7.
struct Or : ElementwiseOp<Or> {
  static constexpr std::string_view kName = "Or";
  static constexpr Signature kSignature = {2, 2, Types::kBool};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kOr, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_or() { return op_info<Or>(); }

}  // namespace lathe::ops
