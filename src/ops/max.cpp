// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Elementwise maximum of any number of inputs; NaN propagates. ONNX Max-13.
struct Max : ElementwiseOp<Max> {
  static constexpr std::string_view kName = "Max";
  static constexpr Signature kSignature = kVariadic;
  [[nodiscard]] Expr of(Inputs x) const {
    Expr r = x[0];
    for (const Expr e : x.subspan(1)) r = max(r, e);
    return r;
  }
};

}  // namespace

const OpInfo& op_max() { return op_info<Max>(); }

}  // namespace lathe::ops
