// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a - b. ONNX Sub-14.
struct Sub : ElementwiseOp<Sub> {
  static constexpr std::string_view kName = "Sub";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] - x[1]; }
};

}  // namespace

const OpInfo& op_sub() { return op_info<Sub>(); }

}  // namespace lathe::ops
