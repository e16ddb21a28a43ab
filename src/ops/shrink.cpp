// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x + bias below -lambd, x - bias above lambd, else 0. ONNX Shrink-9.
struct Shrink : ElementwiseOp<Shrink> {
  static constexpr std::string_view kName = "Shrink";
  static constexpr Signature kSignature = {1, 1, Types::kSigned};
  double lambd = 0.5;
  double bias = 0.0;

  void visit(AttrVisitor& v) override {
    v.attr("lambd", lambd);
    v.attr("bias", bias);
  }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    const Expr low = x[0].builder->constant(x[0].dtype(), -lambd), high = x[0].builder->constant(x[0].dtype(), lambd);
    const Expr above = select(compare(Prim::kLt, high, x[0]), x[0] - bias, zero);
    return select(compare(Prim::kLt, x[0], low), x[0] + bias, above);
  }
};

}  // namespace

const OpInfo& op_shrink() { return op_info<Shrink>(); }

}  // namespace lathe::ops
