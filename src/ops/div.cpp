// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a / b; integers truncate. ONNX Div-14.
struct Div : ElementwiseOp<Div> {
  static constexpr std::string_view kName = "Div";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] / x[1]; }
};

}  // namespace

const OpInfo& op_div() { return op_info<Div>(); }

}  // namespace lathe::ops
