// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a where the condition is true, else b; inputs condition, a, b. ONNX Where-16.
struct Where : ElementwiseOp<Where> {
  static constexpr std::string_view kName = "Where";
  static constexpr Signature kSignature = {3, 3, Types::kNumericOrBool};

  [[nodiscard]] Status check(std::span<const DType> inputs) const override {
    if (inputs[0] != DType::kBool)
      return fail(Code::kUsage, "the condition is " + std::string(dtype_name(inputs[0])) + ", not bool");
    return Elementwise::check(inputs.subspan(1));
  }

  [[nodiscard]] Expr of(Inputs x) const { return select(x[0], x[1], x[2]); }
};

}  // namespace

const OpInfo& op_where() { return op_info<Where>(); }

}  // namespace lathe::ops
