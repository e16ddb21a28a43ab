// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_elements.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> GatherElements::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  LATHE_CHECK(check_axis(axis, inputs[0].rank()));
  if (inputs[1].rank() != inputs[0].rank()) return fail(Code::kUsage, "indices must have the rank of the input");
  for (size_t d = 0; d < inputs[0].shape.size(); ++d) {
    const Dim &n = inputs[0].shape[d], &m = inputs[1].shape[d];
    if (static_cast<int64_t>(d) != axis && n.is_const() && m.is_const() && m.value() > n.value())
      return fail(Code::kUsage,
                  "indices " + shape_str(inputs[1].shape) + " exceed the input " + shape_str(inputs[0].shape));
  }
  return one(inputs[0].dtype, inputs[1].shape);
}

Result<std::vector<Tensor>> GatherElements::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &indices = inputs[1];
  const auto a = static_cast<size_t>(axis);
  const auto strides = strides_of(x.dims());
  Status status;
  Tensor y = remap(x, indices.dims(), [&](const std::vector<int64_t>& index, int64_t i) {
    const auto chosen = checked_index(indices, i, x.dims()[a]);
    if (!chosen) {
      status = std::unexpected(chosen.error());
      return int64_t{-1};
    }
    int64_t at = *chosen * strides[a];
    for (size_t d = 0; d < index.size(); ++d)
      if (d != a) at += index[d] * strides[d];
    return at;
  });
  LATHE_CHECK(status);
  return one(std::move(y));
}

const OpInfo& op_gather_elements() { return op_info<GatherElements>(); }

}  // namespace lathe::ops
