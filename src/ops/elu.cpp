// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x where x >= 0, else alpha * (exp(x) - 1). ONNX Elu-22.
struct Elu : ElementwiseOp<Elu> {
  static constexpr std::string_view kName = "Elu";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 1.0;

  void visit(AttrVisitor& v) override { v.attr("alpha", alpha); }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    return select(compare(Prim::kLt, x[0], zero), (exp(x[0]) - 1.0) * alpha, x[0]);
  }
};

}  // namespace

const OpInfo& op_elu() { return op_info<Elu>(); }

}  // namespace lathe::ops
