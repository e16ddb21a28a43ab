// SPDX-License-Identifier: Apache-2.0
#include "ops/gather.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Gather::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &x = inputs[0], &indices = inputs[1];
  LATHE_CHECK(check_axis(axis, x.rank()));
  if (indices.dtype != DType::kI64 && indices.dtype != DType::kI32)
    return fail(Code::kUsage, "indices are " + std::string(dtype_name(indices.dtype)) + ", not i32 or i64");
  Shape y(x.shape.begin(), x.shape.begin() + axis);
  y.insert(y.end(), indices.shape.begin(), indices.shape.end());
  y.insert(y.end(), x.shape.begin() + axis + 1, x.shape.end());
  auto out = one(x.dtype, std::move(y));
  const auto content = content_of(x);
  const auto at = integers_of(indices);
  if (content && at && x.rank() == 1) {
    std::vector<Dim> chosen;
    const auto n = static_cast<int64_t>(content->size());
    for (const int64_t i : *at) {
      if (i < -n || i >= n)
        return fail(Code::kUsage,
                    "index " + std::to_string(i) + " is out of range for a dimension of " + std::to_string(n));
      chosen.push_back((*content)[static_cast<size_t>(i < 0 ? i + n : i)]);
    }
    out[0].content = std::move(chosen);
  }
  return out;
}

Result<std::vector<Tensor>> Gather::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &indices = inputs[1];
  const auto a = static_cast<size_t>(axis);
  const auto& from = x.dims();
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < indices.count(); ++i) {
    LATHE_TRY(rows.emplace_back(), checked_index(indices, i, from[a]));
  }
  const int64_t outer = count_of(std::span(from).first(a)), inner = count_of(std::span(from).subspan(a + 1));
  std::vector<int64_t> dims(from.begin(), from.begin() + axis);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), from.begin() + axis + 1, from.end());
  Elements out(x.dtype(), dims);
  int64_t i = 0;
  for (int64_t o = 0; o < outer; ++o)
    for (const int64_t row : rows)
      for (int64_t k = 0; k < inner; ++k) out.put(i++, x, (o * from[a] + row) * inner + k);
  return one(out.take());
}

const OpInfo& op_gather() { return op_info<Gather>(); }

}  // namespace lathe::ops
