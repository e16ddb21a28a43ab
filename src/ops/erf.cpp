// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// The error function. ONNX Erf-13.
struct Erf : ElementwiseOp<Erf> {
  static constexpr std::string_view kName = "Erf";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kErf, x[0]); }
};

}  // namespace

const OpInfo& op_erf() { return op_info<Erf>(); }

}  // namespace lathe::ops
