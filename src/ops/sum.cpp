// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Sum of any number of inputs. ONNX Sum-13.
struct Sum : ElementwiseOp<Sum> {
  static constexpr std::string_view kName = "Sum";
  static constexpr Signature kSignature = kVariadic;
  [[nodiscard]] Expr of(Inputs x) const {
    Expr r = x[0];
    for (const Expr e : x.subspan(1)) r = r + e;
    return r;
  }
};

}  // namespace

const OpInfo& op_sum() { return op_info<Sum>(); }

}  // namespace lathe::ops
