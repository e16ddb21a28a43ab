// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x * tanh(softplus(x)). ONNX Mish-22.
struct Mish : ElementwiseOp<Mish> {
  static constexpr std::string_view kName = "Mish";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const {
    const Expr softplus = max(x[0], 0.0) + log(1.0 + exp(-abs(x[0])));
    return x[0] * tanh(softplus);
  }
};

}  // namespace

const OpInfo& op_mish() { return op_info<Mish>(); }

}  // namespace lathe::ops
