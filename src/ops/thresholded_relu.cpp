// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x where x > alpha, else 0. ONNX ThresholdedRelu-22.
struct ThresholdedRelu : ElementwiseOp<ThresholdedRelu> {
  static constexpr std::string_view kName = "ThresholdedRelu";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 1.0;

  void visit(AttrVisitor& v) override { v.attr("alpha", alpha); }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    const Expr limit = x[0].builder->constant(x[0].dtype(), alpha);
    return select(compare(Prim::kLt, limit, x[0]), x[0], zero);
  }
};

}  // namespace

const OpInfo& op_thresholded_relu() { return op_info<ThresholdedRelu>(); }

}  // namespace lathe::ops
