// SPDX-License-Identifier: Apache-2.0
#include "ops/transpose.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Transpose::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  std::vector<bool> seen(x.shape.size(), false);
  bool valid = perm.size() == x.shape.size();
  for (const int64_t p : perm) {
    valid = valid && p >= 0 && p < x.rank() && !seen[static_cast<size_t>(p)];
    if (valid) seen[static_cast<size_t>(p)] = true;
  }
  if (!valid) return fail(Code::kUsage, "perm is not a permutation of the " + std::to_string(x.rank()) + " dimensions");
  Shape y;
  for (const int64_t p : perm) y.push_back(x.shape[static_cast<size_t>(p)]);
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Transpose::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto strides = strides_of(x.dims());
  std::vector<int64_t> dims, step;
  for (const int64_t p : perm) {
    dims.push_back(x.dims()[static_cast<size_t>(p)]);
    step.push_back(strides[static_cast<size_t>(p)]);
  }
  return one(remap(x, dims, [&](const std::vector<int64_t>& index, int64_t) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * step[d];
    return at;
  }));
}

const OpInfo& op_transpose() { return op_info<Transpose>(); }

}  // namespace lathe::ops
