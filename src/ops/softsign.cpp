// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x / (1 + |x|). ONNX Softsign-22.
struct Softsign : ElementwiseOp<Softsign> {
  static constexpr std::string_view kName = "Softsign";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] / (1.0 + abs(x[0])); }
};

}  // namespace

const OpInfo& op_softsign() { return op_info<Softsign>(); }

}  // namespace lathe::ops
