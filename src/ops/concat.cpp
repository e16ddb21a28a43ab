// SPDX-License-Identifier: Apache-2.0
#include "ops/concat.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Concat::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, SIZE_MAX));
  LATHE_CHECK(check_inputs(inputs, inputs.size(), inputs.size()));
  Shape y = inputs[0].shape;
  LATHE_CHECK(check_axis(axis, inputs[0].rank()));
  const auto a = static_cast<size_t>(axis);
  std::optional<std::vector<Dim>> content = content_of(inputs[0]);
  for (const ValueInfo& x : inputs.subspan(1)) {
    if (x.dtype != inputs[0].dtype)
      return fail(Code::kUsage, "inputs are " + std::string(dtype_name(inputs[0].dtype)) + " and " +
                                    std::string(dtype_name(x.dtype)));
    if (x.shape.size() != y.size())
      return fail(Code::kUsage, "inputs of rank " + std::to_string(y.size()) + " and " + std::to_string(x.rank()));
    for (size_t d = 0; d < y.size(); ++d) {
      if (d == a) continue;
      if (y[d].is_const() && x.shape[d].is_const() && !(y[d] == x.shape[d]))
        return fail(Code::kUsage, "shapes " + shape_str(inputs[0].shape) + " and " + shape_str(x.shape) +
                                      " differ beside axis " + std::to_string(axis));
      if (!y[d].is_const()) y[d] = x.shape[d].is_const() ? x.shape[d] : y[d];
    }
    y[a] = y[a] + x.shape[a];
    const auto more = content_of(x);
    if (content && more)
      content->insert(content->end(), more->begin(), more->end());
    else
      content.reset();
  }
  auto out = one(inputs[0].dtype, std::move(y));
  out[0].content = std::move(content);
  return out;
}

Result<std::vector<Tensor>> Concat::evaluate(std::span<const Tensor> inputs) const {
  const auto a = static_cast<size_t>(axis);
  std::vector<int64_t> dims = inputs[0].dims();
  dims[a] = 0;
  for (const Tensor& x : inputs) dims[a] += x.dims()[a];
  const auto strides = strides_of(dims);
  Elements out(inputs[0].dtype(), dims);
  int64_t begin = 0;
  for (const Tensor& x : inputs) {
    for_each_index(x.dims(), [&](const std::vector<int64_t>& index, int64_t j) {
      int64_t i = begin * strides[a];
      for (size_t d = 0; d < index.size(); ++d) i += index[d] * strides[d];
      out.put(i, x, j);
    });
    begin += x.dims()[a];
  }
  return one(out.take());
}

const OpInfo& op_concat() { return op_info<Concat>(); }

}  // namespace lathe::ops
