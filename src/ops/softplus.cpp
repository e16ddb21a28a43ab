// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// log(1 + exp(x)), written so that it does not overflow. ONNX Softplus-22.
struct Softplus : ElementwiseOp<Softplus> {
  static constexpr std::string_view kName = "Softplus";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return max(x[0], 0.0) + log(1.0 + exp(-abs(x[0]))); }
};

}  // namespace

const OpInfo& op_softplus() { return op_info<Softplus>(); }

}  // namespace lathe::ops
