// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Elementwise minimum of any number of inputs; NaN propagates. ONNX Min-13.
struct Min : ElementwiseOp<Min> {
  static constexpr std::string_view kName = "Min";
  static constexpr Signature kSignature = kVariadic;
  [[nodiscard]] Expr of(Inputs x) const {
    Expr r = x[0];
    for (const Expr e : x.subspan(1)) r = min(r, e);
    return r;
  }
};

}  // namespace

const OpInfo& op_min() { return op_info<Min>(); }

}  // namespace lathe::ops
