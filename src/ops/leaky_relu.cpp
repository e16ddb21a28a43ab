// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x where x >= 0, else alpha * x. ONNX LeakyRelu-16.
struct LeakyRelu : ElementwiseOp<LeakyRelu> {
  static constexpr std::string_view kName = "LeakyRelu";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 0.01;

  void visit(AttrVisitor& v) override { v.attr("alpha", alpha); }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    return select(compare(Prim::kLt, x[0], zero), x[0] * alpha, x[0]);
  }
};

}  // namespace

const OpInfo& op_leaky_relu() { return op_info<LeakyRelu>(); }

}  // namespace lathe::ops
