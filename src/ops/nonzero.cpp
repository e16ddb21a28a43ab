// SPDX-License-Identifier: Apache-2.0
#include "ops/nonzero.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> NonZero::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  if (inputs[0].dtype == DType::kString) return fail(Code::kUnsupported, "strings are not supported");
  return one(DType::kI64, {inputs[0].rank(), fresh("nonzero")});
}

Result<std::vector<Tensor>> NonZero::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const size_t rank = x.dims().size();
  std::vector<std::vector<int64_t>> found(rank);
  int64_t count = 0;
  for_each_index(x.dims(), [&](const std::vector<int64_t>& index, int64_t i) {
    if (x.f64_at(i) == 0) return;
    ++count;
    for (size_t d = 0; d < rank; ++d) found[d].push_back(index[d]);
  });
  Tensor y = Tensor::zeros(DType::kI64, {static_cast<int64_t>(rank), count});
  for (size_t d = 0; d < rank; ++d)
    std::copy(found[d].begin(), found[d].end(), y.mutable_as<int64_t>().begin() + static_cast<ptrdiff_t>(d) * count);
  return one(std::move(y));
}

const OpInfo& op_nonzero() { return op_info<NonZero>(); }

}  // namespace lathe::ops
