// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). ONNX Celu-12.
struct Celu : ElementwiseOp<Celu> {
  static constexpr std::string_view kName = "Celu";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 1.0;

  void visit(AttrVisitor& v) override { v.attr("alpha", alpha); }

  [[nodiscard]] Expr of(Inputs x) const { return max(x[0], 0.0) + min((exp(x[0] / alpha) - 1.0) * alpha, 0.0); }
};

}  // namespace

const OpInfo& op_celu() { return op_info<Celu>(); }

}  // namespace lathe::ops
