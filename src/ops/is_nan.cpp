// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Whether x is not a number. ONNX IsNaN-20.
struct IsNaN : ElementwiseOp<IsNaN> {
  static constexpr std::string_view kName = "IsNaN";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return x[0].builder->step(Prim::kIsNaN, DType::kBool, x[0]); }
};

}  // namespace

const OpInfo& op_is_nan() { return op_info<IsNaN>(); }

}  // namespace lathe::ops
