// SPDX-License-Identifier: Apache-2.0
#include "ops/cumsum.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> CumSum::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  if (const auto axis = integers_of(inputs[1]); axis && axis->size() == 1)
    LATHE_CHECK(check_axis((*axis)[0] < 0 ? (*axis)[0] + inputs[0].rank() : (*axis)[0], inputs[0].rank()));
  return one(inputs[0].dtype, inputs[0].shape);
}

Result<std::vector<Tensor>> CumSum::evaluate(std::span<const Tensor> inputs) const {
  const Tensor x = convert(inputs[0], compute_type(inputs[0].dtype()));
  LATHE_TRY(const int64_t axis, checked_index(inputs[1], 0, static_cast<int64_t>(x.dims().size())));
  const auto a = static_cast<size_t>(axis);
  const int64_t n = x.dims()[a], step = strides_of(x.dims())[a];
  std::vector<int64_t> rows = x.dims();
  rows[a] = 1;
  const auto strides = strides_of(x.dims());
  Tensor y = Tensor::zeros(x.dtype(), x.dims());
  const bool known = with_type(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    for_each_index(rows, [&](const std::vector<int64_t>& index, int64_t) {
      int64_t at = 0;
      for (size_t d = 0; d < index.size(); ++d) at += index[d] * strides[d];
      T sum = static_cast<T>(product ? 1 : 0);
      const auto join = [&](T v) { sum = static_cast<T>(product ? sum * v : sum + v); };
      for (int64_t i = 0; i < n; ++i) {
        const auto k = static_cast<size_t>(at + (reverse ? n - 1 - i : i) * step);
        const T v = x.as<T>()[k];
        if (!exclusive) join(v);
        y.mutable_as<T>()[k] = sum;
        if (exclusive) join(v);
      }
    });
  });
  if (!known) return fail(Code::kUnsupported, "no reference for " + std::string(dtype_name(x.dtype())));
  return one(convert(y, inputs[0].dtype()));
}

const OpInfo& op_cumsum() { return op_info<CumSum>(); }

}  // namespace lathe::ops
