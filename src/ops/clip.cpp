// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// x limited to [min, max]; inputs x, min (optional), max (optional), scalars. Where min > max the result is max.
/// ONNX Clip-13.
struct Clip : ElementwiseOp<Clip> {
  static constexpr std::string_view kName = "Clip";
  static constexpr Signature kSignature = {1, 3, Types::kNumeric};
  [[nodiscard]] Expr of(Inputs x) const {
    Expr r = x[0];
    if (x.size() > 1 && x[1].builder) r = max(r, x[1]);
    if (x.size() > 2 && x[2].builder) r = min(r, x[2]);
    return r;
  }
};

}  // namespace

const OpInfo& op_clip() { return op_info<Clip>(); }

}  // namespace lathe::ops
