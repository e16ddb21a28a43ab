// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_nd.h"

#include "ops/_scatter.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> ScatterND::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 3, 3));
  const ValueInfo &x = inputs[0], &indices = inputs[1], &updates = inputs[2];
  LATHE_CHECK(Scatterer::check(reduction, x.dtype));
  if (updates.dtype != x.dtype) return fail(Code::kUsage, "updates have another type than the input");
  if (indices.rank() < 1) return fail(Code::kUsage, "indices must have a last dimension");
  const auto depth = indices.shape.back().as_const();
  if (!depth) return fail(Code::kUnsupported, "the length of the index tuples is not constant");
  if (*depth > x.rank())
    return fail(Code::kUsage, "index tuples of " + std::to_string(*depth) + " for input " + shape_str(x.shape));
  Shape wanted(indices.shape.begin(), indices.shape.end() - 1);
  wanted.insert(wanted.end(), x.shape.begin() + *depth, x.shape.end());
  bool fits = wanted.size() == updates.shape.size();
  for (size_t d = 0; fits && d < wanted.size(); ++d)
    fits = !wanted[d].is_const() || !updates.shape[d].is_const() || wanted[d] == updates.shape[d];
  if (!fits) return fail(Code::kUsage, "updates " + shape_str(updates.shape) + " must be " + shape_str(wanted));
  return one(x.dtype, x.shape);
}

Result<std::vector<Tensor>> ScatterND::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &indices = inputs[1];
  const int64_t depth = indices.dims().back();
  const auto strides = strides_of(x.dims());
  const int64_t size = count_of(std::span(x.dims()).subspan(static_cast<size_t>(depth)));
  const int64_t tuples = count_of(std::span(indices.dims()).first(indices.dims().size() - 1));
  Scatterer out(x, inputs[2], reduction);
  for (int64_t t = 0; t < tuples; ++t) {
    int64_t at = 0;
    for (int64_t k = 0; k < depth; ++k) {
      LATHE_TRY(const int64_t i, checked_index(indices, t * depth + k, x.dims()[static_cast<size_t>(k)]));
      at += i * strides[static_cast<size_t>(k)];
    }
    for (int64_t i = 0; i < size; ++i) out.put(at + i, t * size + i);
  }
  LATHE_TRY(Tensor y, out.take());
  return one(std::move(y));
}

const OpInfo& op_scatter_nd() { return op_info<ScatterND>(); }

}  // namespace lathe::ops
