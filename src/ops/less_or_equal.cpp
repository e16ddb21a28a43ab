// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a <= b as bool. ONNX LessOrEqual-16.
struct LessOrEqual : ElementwiseOp<LessOrEqual> {
  static constexpr std::string_view kName = "LessOrEqual";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return compare(Prim::kLe, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_less_or_equal() { return op_info<LessOrEqual>(); }

}  // namespace lathe::ops
