// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Bitwise xor of integers. ONNX BitwiseXor-18.
struct BitwiseXor : ElementwiseOp<BitwiseXor> {
  static constexpr std::string_view kName = "BitwiseXor";
  static constexpr Signature kSignature = {2, 2, Types::kInteger};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kXor, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_bitwise_xor() { return op_info<BitwiseXor>(); }

}  // namespace lathe::ops
