// SPDX-License-Identifier: Apache-2.0
#include "ops/one_hot.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> OneHot::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 3, 3));
  LATHE_CHECK(check_axis(axis, inputs[0].rank() + 1));
  Dim depth;
  if (inputs[1].constant && inputs[1].constant->count() == 1) {
    depth = inputs[1].constant->i64_at(0);
    if (depth.value() < 0 || depth.value() > int64_t{1} << 40)
      return fail(Code::kUsage, "depth " + depth.str() + " is out of range");
  } else if (const auto known = content_of(inputs[1]); known && known->size() == 1) {
    depth = (*known)[0];
  } else {
    depth = fresh("onehot");
  }
  Shape y = inputs[0].shape;
  y.insert(y.begin() + axis, depth);
  return one(inputs[2].dtype, std::move(y));
}

Result<std::vector<Tensor>> OneHot::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &indices = inputs[0], &values = inputs[2];
  const int64_t depth = inputs[1].i64_at(0);
  if (depth < 0 || values.count() != 2)
    return fail(Code::kUsage, "depth must not be negative, and values must be off and on");
  std::vector<int64_t> dims = indices.dims();
  dims.insert(dims.begin() + axis, depth);
  const int64_t inner = count_of(std::span(dims).subspan(static_cast<size_t>(axis) + 1));
  return one(remap(values, dims, [&](const std::vector<int64_t>& index, int64_t i) {
    const int64_t raw = indices.i64_at(i / (inner * depth) * inner + i % inner);
    return int64_t{(raw < 0 ? raw + depth : raw) == index[static_cast<size_t>(axis)]};
  }));
}

const OpInfo& op_one_hot() { return op_info<OneHot>(); }

}  // namespace lathe::ops
