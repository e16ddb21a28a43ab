// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// alpha * x + beta limited to [0, 1]. ONNX HardSigmoid-22.
struct HardSigmoid : ElementwiseOp<HardSigmoid> {
  static constexpr std::string_view kName = "HardSigmoid";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 0.2;
  double beta = 0.5;

  void visit(AttrVisitor& v) override {
    v.attr("alpha", alpha);
    v.attr("beta", beta);
  }

  [[nodiscard]] Expr of(Inputs x) const { return max(min(x[0] * alpha + beta, 1.0), 0.0); }
};

}  // namespace

const OpInfo& op_hard_sigmoid() { return op_info<HardSigmoid>(); }

}  // namespace lathe::ops
