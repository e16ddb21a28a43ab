// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// max(x, 0). ONNX Relu-14.
struct Relu : ElementwiseOp<Relu> {
  static constexpr std::string_view kName = "Relu";
  static constexpr Signature kSignature = {1, 1, Types::kSigned};
  [[nodiscard]] Expr of(Inputs x) const { return max(x[0], 0.0); }
};

}  // namespace

const OpInfo& op_relu() { return op_info<Relu>(); }

}  // namespace lathe::ops
