// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Inverse sine. ONNX Asin-22.
struct Asin : ElementwiseOp<Asin> {
  static constexpr std::string_view kName = "Asin";
  static constexpr Signature kSignature = kUnaryFloat;
  [[nodiscard]] Expr of(Inputs x) const { return unary(Prim::kAsin, x[0]); }
};

}  // namespace

const OpInfo& op_asin() { return op_info<Asin>(); }

}  // namespace lathe::ops
