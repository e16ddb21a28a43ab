// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Whether x is infinite, of the signs asked for. ONNX IsInf-20.
struct IsInf : ElementwiseOp<IsInf> {
  static constexpr std::string_view kName = "IsInf";
  static constexpr Signature kSignature = kUnaryFloat;
  bool detect_negative = true;
  bool detect_positive = true;

  void visit(AttrVisitor& v) override {
    v.attr("detect_negative", detect_negative);
    v.attr("detect_positive", detect_positive);
  }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr zero = x[0].builder->constant(x[0].dtype(), 0);
    const Expr infinite = x[0].builder->step(Prim::kIsInf, DType::kBool, x[0]);
    if (detect_negative && detect_positive) return infinite;
    if (!detect_negative && !detect_positive) return x[0].builder->constant(DType::kBool, 0);
    const Expr sign = detect_negative ? compare(Prim::kLt, x[0], zero) : compare(Prim::kLt, zero, x[0]);
    return binary(Prim::kAnd, infinite, sign);
  }
};

}  // namespace

const OpInfo& op_is_inf() { return op_info<IsInf>(); }

}  // namespace lathe::ops
