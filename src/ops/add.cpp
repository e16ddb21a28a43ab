// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a + b. ONNX Add-14.
struct Add : ElementwiseOp<Add> {
  static constexpr std::string_view kName = "Add";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] + x[1]; }
};

}  // namespace

const OpInfo& op_add() { return op_info<Add>(); }

}  // namespace lathe::ops
