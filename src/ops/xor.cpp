// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Logical xor. ONNX Xor-7.
struct Xor : ElementwiseOp<Xor> {
  static constexpr std::string_view kName = "Xor";
  static constexpr Signature kSignature = {2, 2, Types::kBool};
  [[nodiscard]] Expr of(Inputs x) const { return binary(Prim::kXor, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_xor() { return op_info<Xor>(); }

}  // namespace lathe::ops
