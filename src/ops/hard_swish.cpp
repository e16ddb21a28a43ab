// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x * (x / 6 + 0.5 limited to [0, 1]). ONNX HardSwish-22.
struct HardSwish : ElementwiseOp<HardSwish> {
  static constexpr std::string_view kName = "HardSwish";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] * max(min(x[0] * (1.0 / 6.0) + 0.5, 1.0), 0.0); }
};

}  // namespace

const OpInfo& op_hard_swish() { return op_info<HardSwish>(); }

}  // namespace lathe::ops
