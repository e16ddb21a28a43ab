// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// gamma * (x where x > 0, else alpha * (exp(x) - 1)). ONNX Selu-22.
struct Selu : ElementwiseOp<Selu> {
  static constexpr std::string_view kName = "Selu";
  static constexpr Signature kSignature = kUnaryFloat;
  double alpha = 1.67326319217681884765625;
  double gamma = 1.05070102214813232421875;

  void visit(AttrVisitor& v) override {
    v.attr("alpha", alpha);
    v.attr("gamma", gamma);
  }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    return select(compare(Prim::kLt, zero, x[0]), x[0], (exp(x[0]) - 1.0) * alpha) * gamma;
  }
};

}  // namespace

const OpInfo& op_selu() { return op_info<Selu>(); }

}  // namespace lathe::ops
