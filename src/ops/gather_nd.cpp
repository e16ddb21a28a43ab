// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_nd.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> GatherND::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &x = inputs[0], &indices = inputs[1];
  if (indices.rank() < 1 || batch_dims < 0 || batch_dims >= std::min(x.rank(), indices.rank()))
    return fail(Code::kUsage, "batch_dims " + std::to_string(batch_dims) + " does not fit input " + shape_str(x.shape) +
                                  " and indices " + shape_str(indices.shape));
  const auto depth = indices.shape.back().as_const();
  if (!depth) return fail(Code::kUnsupported, "the length of the index tuples is not constant");
  if (*depth < 0 || batch_dims + *depth > x.rank())
    return fail(Code::kUsage, "index tuples of " + std::to_string(*depth) + " for input " + shape_str(x.shape));
  Shape y(indices.shape.begin(), indices.shape.end() - 1);
  y.insert(y.end(), x.shape.begin() + batch_dims + *depth, x.shape.end());
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> GatherND::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &indices = inputs[1];
  const auto b = static_cast<size_t>(batch_dims);
  const std::vector<int64_t> tuples(indices.dims().begin(), indices.dims().end() - 1);
  const int64_t depth = indices.dims().back();
  const auto strides = strides_of(x.dims());
  std::vector<int64_t> dims = tuples;
  const std::vector<int64_t> slice(x.dims().begin() + batch_dims + depth, x.dims().end());
  dims.insert(dims.end(), slice.begin(), slice.end());
  const int64_t size = count_of(slice);
  Elements out(x.dtype(), dims);
  Status status;
  for_each_index(tuples, [&](const std::vector<int64_t>& index, int64_t t) {
    int64_t at = 0;
    for (size_t d = 0; d < b; ++d) at += index[d] * strides[d];
    for (int64_t k = 0; k < depth; ++k) {
      const size_t d = b + static_cast<size_t>(k);
      const auto i = checked_index(indices, t * depth + k, x.dims()[d]);
      if (!i) {
        status = std::unexpected(i.error());
        return;
      }
      at += *i * strides[d];
    }
    for (int64_t i = 0; i < size; ++i) out.put(t * size + i, x, at + i);
  });
  LATHE_CHECK(status);
  return one(out.take());
}

const OpInfo& op_gather_nd() { return op_info<GatherND>(); }

}  // namespace lathe::ops
