// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a == b as bool. ONNX Equal-19.
struct Equal : ElementwiseOp<Equal> {
  static constexpr std::string_view kName = "Equal";
  static constexpr Signature kSignature = {2, 2, Types::kNumericOrBool};
  [[nodiscard]] Expr of(Inputs x) const { return compare(Prim::kEq, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_equal() { return op_info<Equal>(); }

}  // namespace lathe::ops
