// SPDX-License-Identifier: Apache-2.0
#include "ops/top_k.h"

#include <algorithm>
#include <numeric>

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> TopK::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo& x = inputs[0];
  LATHE_CHECK(check_axis(axis, x.rank()));
  Shape y = x.shape;
  Dim& d = y[static_cast<size_t>(axis)];
  if (const auto k = content_of(inputs[1]); k && k->size() == 1) {
    const Dim& n = (*k)[0];
    if (n.is_const() && (n.value() < 0 || (d.is_const() && n.value() > d.value())))
      return fail(Code::kUsage, "k = " + n.str() + " of a dimension of " + d.str());
    d = n;
  } else {
    d = fresh("topk");
  }
  return std::vector<ValueInfo>{{x.dtype, y, nullptr, {}}, {DType::kI64, y, nullptr, {}}};
}

Result<std::vector<Tensor>> TopK::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto a = static_cast<size_t>(axis);
  const int64_t n = x.dims()[a], k = inputs[1].i64_at(0);
  if (k < 0 || k > n) return fail(Code::kUsage, "k = " + std::to_string(k) + " of a dimension of " + std::to_string(n));
  std::vector<int64_t> dims = x.dims(), rows = x.dims();
  dims[a] = k;
  rows[a] = 1;
  const auto from = strides_of(x.dims()), to = strides_of(dims);
  const bool integer = dtype_info(x.dtype()).is_int;
  Elements values(x.dtype(), dims);
  Tensor indices = Tensor::zeros(DType::kI64, dims);
  std::vector<int64_t> order(static_cast<size_t>(n));
  for_each_index(rows, [&](const std::vector<int64_t>& index, int64_t) {
    int64_t source = 0, target = 0;
    for (size_t d = 0; d < index.size(); ++d) {
      source += index[d] * from[d];
      target += index[d] * to[d];
    }
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int64_t i, int64_t j) {
      const int64_t p = source + i * from[a], q = source + j * from[a];
      if (!largest) return integer ? x.i64_at(p) < x.i64_at(q) : x.f64_at(p) < x.f64_at(q);
      return integer ? x.i64_at(p) > x.i64_at(q) : x.f64_at(p) > x.f64_at(q);
    });
    for (int64_t i = 0; i < k; ++i) {
      const int64_t chosen = order[static_cast<size_t>(i)];
      values.put(target + i * to[a], x, source + chosen * from[a]);
      indices.set_i64(target + i * to[a], chosen);
    }
  });
  return std::vector<Tensor>{values.take(), std::move(indices)};
}

const OpInfo& op_top_k() { return op_info<TopK>(); }

}  // namespace lathe::ops
