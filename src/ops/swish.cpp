// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x * sigmoid(alpha * x). ONNX Swish-24.
struct Swish : ElementwiseOp<Swish> {
  static constexpr std::string_view kName = "Swish";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 1.0;

  void visit(AttrVisitor& v) override { v.attr("alpha", alpha); }

  [[nodiscard]] Expr of(Inputs x) const { return x[0] * sigmoid(alpha == 1.0 ? x[0] : x[0] * alpha); }
};

}  // namespace

const OpInfo& op_swish() { return op_info<Swish>(); }

}  // namespace lathe::ops
