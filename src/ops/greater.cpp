// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a > b as bool. ONNX Greater-13.
struct Greater : ElementwiseOp<Greater> {
  static constexpr std::string_view kName = "Greater";
  static constexpr Signature kSignature = kBinary;
  [[nodiscard]] Expr of(Inputs x) const { return compare(Prim::kLt, x[1], x[0]); }
};

}  // namespace

const OpInfo& op_greater() { return op_info<Greater>(); }

}  // namespace lathe::ops
