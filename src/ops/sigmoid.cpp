// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// 1 / (1 + exp(-x)). ONNX Sigmoid-13.
struct Sigmoid : ElementwiseOp<Sigmoid> {
  static constexpr std::string_view kName = "Sigmoid";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return sigmoid(x[0]); }
};

}  // namespace

const OpInfo& op_sigmoid() { return op_info<Sigmoid>(); }

}  // namespace lathe::ops
