// SPDX-License-Identifier: Apache-2.0
#include "ops/trilu.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Trilu::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 2));
  if (inputs[0].rank() < 2) return fail(Code::kUsage, "the input must have two dimensions at least");
  return one(inputs[0].dtype, inputs[0].shape);
}

Result<std::vector<Tensor>> Trilu::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const int64_t k = has(inputs, 1) ? inputs[1].i64_at(0) : 0;
  const size_t rank = x.dims().size();
  return one(remap(x, x.dims(), [&](const std::vector<int64_t>& index, int64_t i) {
    const auto distance = static_cast<__int128>(index[rank - 1]) - index[rank - 2];
    return (upper ? distance >= k : distance <= k) ? i : -1;
  }));
}

const OpInfo& op_trilu() { return op_info<Trilu>(); }

}  // namespace lathe::ops
