// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_elements.h"

#include "ops/_scatter.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> ScatterElements::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 3, 3));
  const ValueInfo &x = inputs[0], &indices = inputs[1], &updates = inputs[2];
  LATHE_CHECK(check_axis(axis, x.rank()));
  LATHE_CHECK(Scatterer::check(reduction, x.dtype));
  if (updates.dtype != x.dtype) return fail(Code::kUsage, "updates have another type than the input");
  if (indices.rank() != x.rank() || updates.rank() != x.rank())
    return fail(Code::kUsage, "input, indices and updates must have one rank");
  for (size_t d = 0; d < x.shape.size(); ++d) {
    const Dim &n = x.shape[d], &m = indices.shape[d], &u = updates.shape[d];
    const bool outside = static_cast<int64_t>(d) != axis && n.is_const() && m.is_const() && m.value() > n.value();
    if (outside || (m.is_const() && u.is_const() && !(m == u)))
      return fail(Code::kUsage, "indices " + shape_str(indices.shape) + ", updates " + shape_str(updates.shape) +
                                    " and input " + shape_str(x.shape) + " do not fit");
  }
  return one(x.dtype, x.shape);
}

Result<std::vector<Tensor>> ScatterElements::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &indices = inputs[1];
  const auto a = static_cast<size_t>(axis);
  const auto strides = strides_of(x.dims());
  Scatterer out(x, inputs[2], reduction);
  Status status;
  for_each_index(indices.dims(), [&](const std::vector<int64_t>& index, int64_t i) {
    const auto chosen = checked_index(indices, i, x.dims()[a]);
    if (!chosen) {
      status = std::unexpected(chosen.error());
      return;
    }
    int64_t at = *chosen * strides[a];
    for (size_t d = 0; d < index.size(); ++d)
      if (d != a) at += index[d] * strides[d];
    out.put(at, i);
  });
  LATHE_CHECK(status);
  LATHE_TRY(Tensor y, out.take());
  return one(std::move(y));
}

const OpInfo& op_scatter_elements() { return op_info<ScatterElements>(); }

}  // namespace lathe::ops
