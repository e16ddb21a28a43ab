// SPDX-License-Identifier: Apache-2.0
#include "ops/tile.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Tile::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo& x = inputs[0];
  const auto repeats = content_of(inputs[1]);
  Shape y = x.shape;
  if (inputs[1].rank() != 1 || (inputs[1].shape[0].is_const() && inputs[1].shape[0].value() != x.rank()))
    return fail(Code::kUsage, "needs a repeat for each of the " + std::to_string(y.size()) + " dimensions");
  if (!repeats) {
    for (Dim& d : y) d = fresh("tile");
    return one(x.dtype, std::move(y));
  }
  if (repeats->size() != y.size())
    return fail(Code::kUsage, "needs a repeat for each of the " + std::to_string(y.size()) + " dimensions");
  for (size_t d = 0; d < y.size(); ++d) {
    const Dim& r = (*repeats)[d];
    if (r.is_const() && (r.value() < 0 || r.value() > INT32_MAX))
      return fail(Code::kUsage, "repeat " + r.str() + " is out of range");
    y[d] = y[d] * r;
  }
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Tile::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  std::vector<int64_t> dims = x.dims();
  for (size_t d = 0; d < dims.size(); ++d) dims[d] *= inputs[1].i64_at(static_cast<int64_t>(d));
  const auto strides = strides_of(x.dims());
  return one(remap(x, dims, [&](const std::vector<int64_t>& index, int64_t) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] % x.dims()[d] * strides[d];
    return at;
  }));
}

const OpInfo& op_tile() { return op_info<Tile>(); }

}  // namespace lathe::ops
