// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Largest integer not above x. ONNX Floor-13.
struct Floor : ElementwiseOp<Floor> {
  static constexpr std::string_view kName = "Floor";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kFloor, x[0]); }
};

}  // namespace

const OpInfo& op_floor() { return op_info<Floor>(); }

}  // namespace lathe::ops
