// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Bitwise complement of integers. ONNX BitwiseNot-18.
struct BitwiseNot : ElementwiseOp<BitwiseNot> {
  static constexpr std::string_view kName = "BitwiseNot";
  static constexpr Signature kSignature = {1, 1, Types::kInteger};
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kNot, x[0]); }
};

}  // namespace

const OpInfo& op_bitwise_not() { return op_info<BitwiseNot>(); }

}  // namespace lathe::ops
