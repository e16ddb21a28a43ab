// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a * b. ONNX Mul-14.
struct Mul : ElementwiseOp<Mul> {
  static constexpr std::string_view kName = "Mul";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return x[0] * x[1]; }
};

}  // namespace

const OpInfo& op_mul() { return op_info<Mul>(); }

}  // namespace lathe::ops
