// SPDX-License-Identifier: Apache-2.0
#include "ops/expand.h"

#include "ops/_data.h"
#include "ops/elementwise.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Expand::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &x = inputs[0], &shape = inputs[1];
  if (shape.rank() != 1) return fail(Code::kUsage, "the shape must be a vector");
  auto wanted = content_of(shape);
  if (!wanted) {
    const auto rank = shape.shape[0].as_const();
    if (!rank) return fail(Code::kUnsupported, "the rank of the result depends on data");
    Shape y;
    for (int64_t d = 0; d < std::max(*rank, x.rank()); ++d) y.push_back(fresh("expand"));
    return one(x.dtype, std::move(y));
  }
  for (const Dim& d : *wanted)
    if (d.is_const() && d.value() < 0) return fail(Code::kUsage, "negative size in " + shape_str(*wanted));
  LATHE_TRY(Shape y, broadcast(x.shape, *wanted));
  auto out = one(x.dtype, std::move(y));
  // A scalar repeated a few times stays known.
  const auto content = content_of(x);
  const bool vector = out[0].shape.size() == 1 && out[0].shape[0].is_const();
  const int64_t length = vector ? out[0].shape[0].value() : -1;
  if (content && content->size() == 1 && length >= 0 && length <= 64)
    out[0].content = std::vector<Dim>(static_cast<size_t>(length), (*content)[0]);
  return out;
}

Result<std::vector<Tensor>> Expand::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  LATHE_TRY(const Shape shape, broadcast(to_shape(x.dims()), to_shape(inputs[1].to_i64())));
  const auto strides = strides_of(x.dims());
  return one(remap(x, *static_dims(shape), [&](const std::vector<int64_t>& index, int64_t) {
    int64_t at = 0;
    const size_t skip = index.size() - strides.size();
    for (size_t d = 0; d < strides.size(); ++d)
      if (x.dims()[d] != 1) at += index[skip + d] * strides[d];
    return at;
  }));
}

const OpInfo& op_expand() { return op_info<Expand>(); }

}  // namespace lathe::ops
