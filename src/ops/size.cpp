// SPDX-License-Identifier: Apache-2.0
#include "ops/size.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Size::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  auto out = one(DType::kI64, {});
  out[0].content = std::vector<Dim>{product(inputs[0].shape)};
  return out;
}

Result<std::vector<Tensor>> Size::evaluate(std::span<const Tensor> inputs) const {
  return one(Tensor::scalar_i64(inputs[0].count()));
}

const OpInfo& op_size() { return op_info<Size>(); }

}  // namespace lathe::ops
