// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Bitwise and of integers. ONNX BitwiseAnd-18.
struct BitwiseAnd : ElementwiseOp<BitwiseAnd> {
  static constexpr std::string_view kName = "BitwiseAnd";
  static constexpr Signature kSignature = {2, 2, Types::kInteger};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kAnd, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_bitwise_and() { return op_info<BitwiseAnd>(); }

}  // namespace lathe::ops
