// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Natural logarithm. ONNX Log-13.
struct Log : ElementwiseOp<Log> {
  static constexpr std::string_view kName = "Log";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kLog, x[0]); }
};

}  // namespace

const OpInfo& op_log() { return op_info<Log>(); }

}  // namespace lathe::ops
