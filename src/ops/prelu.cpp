// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x where x >= 0, else slope * x; inputs x, slope. ONNX PRelu-16.
struct PRelu : ElementwiseOp<PRelu> {
  static constexpr std::string_view kName = "PRelu";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    return select(compare(Prim::kLt, x[0], zero), x[0] * x[1], x[0]);
  }
};

}  // namespace

const OpInfo& op_prelu() { return op_info<PRelu>(); }

}  // namespace lathe::ops
