// SPDX-License-Identifier: Apache-2.0
#include "ops/shape.h"

#include <algorithm>

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> ShapeOf::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const int64_t rank = inputs[0].rank();
  const auto bound = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  const int64_t first = bound(start), last = std::max(first, bound(end));
  auto out = one(DType::kI64, {last - first});
  out[0].content.emplace(inputs[0].shape.begin() + first, inputs[0].shape.begin() + last);
  return out;
}

Result<std::vector<Tensor>> ShapeOf::evaluate(std::span<const Tensor> inputs) const {
  const ValueInfo x{inputs[0].dtype(), to_shape(inputs[0].dims()), nullptr, {}};
  LATHE_TRY(const auto out, infer({&x, 1}, {}));
  return one(Tensor::vector_i64(*static_dims(*out[0].content)));
}

const OpInfo& op_shape() { return op_info<ShapeOf>(); }

}  // namespace lathe::ops
