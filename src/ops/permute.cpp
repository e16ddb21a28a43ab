// SPDX-License-Identifier: Apache-2.0
#include "ops/permute.h"

#include <algorithm>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

Status check_permutation(const std::vector<int64_t>& perm, int64_t rank) {
  std::vector<int64_t> sorted = perm;
  std::ranges::sort(sorted);
  bool whole = static_cast<int64_t>(perm.size()) == rank;
  for (size_t d = 0; whole && d < sorted.size(); ++d) whole = sorted[d] == static_cast<int64_t>(d);
  return whole ? Status()
               : fail(Code::kUsage, "perm does not name each of the " + std::to_string(rank) + " dimensions");
}

}  // namespace

Result<std::vector<ValueInfo>> Permute::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo& x = inputs[0];
  if (inputs[1].rank() != 1 || (inputs[1].shape[0].is_const() && !inputs[1].shape[0].equals(x.rank())))
    return fail(Code::kUsage, "perm must be a vector of " + std::to_string(x.rank()) + " elements");
  Shape y;
  if (const auto perm = integers_of(inputs[1])) {
    LATHE_CHECK(check_permutation(*perm, x.rank()));
    for (const int64_t d : *perm) y.push_back(x.shape[static_cast<size_t>(d)]);
  } else {
    for (int64_t d = 0; d < x.rank(); ++d) y.push_back(fresh("permute"));
  }
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Permute::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto perm = inputs[1].to_i64();
  LATHE_CHECK(check_permutation(perm, static_cast<int64_t>(x.dims().size())));
  const auto strides = strides_of(x.dims());
  std::vector<int64_t> dims;
  for (const int64_t d : perm) dims.push_back(x.dims()[static_cast<size_t>(d)]);
  return one(remap(x, dims, [&](const std::vector<int64_t>& index, int64_t) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * strides[static_cast<size_t>(perm[d])];
    return at;
  }));
}

const OpInfo& op_permute() { return op_info<Permute>(); }

}  // namespace lathe::ops
