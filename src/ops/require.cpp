// SPDX-License-Identifier: Apache-2.0
#include "ops/require.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Require::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  if (inputs[0].dtype != DType::kBool || !product(inputs[0].shape).equals(1))
    return fail(Code::kUsage, "the condition must be one bool");
  auto out = one(inputs[1].dtype, inputs[1].shape);
  out[0].content = content_of(inputs[1]);
  return out;
}

Result<std::vector<Tensor>> Require::evaluate(std::span<const Tensor> inputs) const {
  if (inputs[0].i64_at(0) == 0) return fail(Code::kUsage, "what the model takes for granted does not hold");
  return one(inputs[1]);
}

const OpInfo& op_require() { return op_info<Require>(); }

}  // namespace lathe::ops
