// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a < b as bool. ONNX Less-13.
struct Less : ElementwiseOp<Less> {
  static constexpr std::string_view kName = "Less";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return compare(Prim::kLt, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_less() { return op_info<Less>(); }

}  // namespace lathe::ops
