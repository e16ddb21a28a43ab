// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a >= b as bool. ONNX GreaterOrEqual-16.
struct GreaterOrEqual : ElementwiseOp<GreaterOrEqual> {
  static constexpr std::string_view kName = "GreaterOrEqual";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return compare(Prim::kLe, x[1], x[0]); }
};

}  // namespace

const OpInfo& op_greater_or_equal() { return op_info<GreaterOrEqual>(); }

}  // namespace lathe::ops
