// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Bitwise or of integers. ONNX BitwiseOr-18.
struct BitwiseOr : ElementwiseOp<BitwiseOr> {
  static constexpr std::string_view kName = "BitwiseOr";
  static constexpr Signature kSignature = {2, 2, Types::kInteger};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kOr, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_bitwise_or() { return op_info<BitwiseOr>(); }

}  // namespace lathe::ops
