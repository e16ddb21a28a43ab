// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Mean of any number of inputs. ONNX Mean-13.
struct Mean : ElementwiseOp<Mean> {
  static constexpr std::string_view kName = "Mean";
  static constexpr Signature kSignature = {1, kVariadic.max_inputs, Types::kFloat};
  [[nodiscard]] Expr of(Inputs x) const {
    Expr r = x[0];
    for (const Expr e : x.subspan(1)) r = r + e;
    return r / static_cast<double>(x.size());
  }
};

}  // namespace

const OpInfo& op_mean() { return op_info<Mean>(); }

}  // namespace lathe::ops
