// SPDX-License-Identifier: Apache-2.0
#include "ops/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/_data.h"
#include "ops/_integer.h"
#include "ops/_window.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Pool::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  if (x.rank() < 3) return fail(Code::kUsage, "input " + shape_str(x.shape) + " has no spatial dimension");
  if (kind != "max" && kind != "average" && kind != "sum")
    return fail(Code::kUsage, "kind \"" + kind + "\" is neither max, average nor sum");
  const Window window{kernel, strides, pads, dilations};
  LATHE_CHECK(check_window(window, x.shape.size() - 2));
  Shape y = {x.shape[0]};
  for (size_t d = 0; d + 2 < x.shape.size(); ++d) {
    y.push_back(window_output(window, d, x.shape[d + 1], ceil_mode));
    if (y.back().is_const() && y.back().value() < 0)
      return fail(Code::kUsage, "the window is larger than the padded input " + shape_str(x.shape));
  }
  y.push_back(x.shape.back());
  return one(kind == "sum" ? sum_type(x.dtype, x.dtype) : x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Pool::evaluate(std::span<const Tensor> inputs) const {
  const bool max = kind == "max", sums = kind == "sum";
  const bool integers = sums && dtype_info(inputs[0].dtype()).is_int;
  const Tensor x = integers ? centred(inputs[0], 0) : convert(inputs[0], compute_type(inputs[0].dtype()));
  const size_t spatial = strides.size();
  const Window window{kernel, strides, pads, dilations};
  const int64_t channels = x.dims().back();
  std::vector<int64_t> out = {x.dims()[0]};
  for (size_t d = 0; d < spatial; ++d) out.push_back(window_output(window, d, x.dims()[d + 1], ceil_mode).value());
  std::vector<int64_t> dims = out;
  dims.push_back(channels);
  const auto sx = strides_of(x.dims());
  Tensor y = Tensor::zeros(x.dtype(), dims);
  const bool known = with_type(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using Sum = std::conditional_t<std::is_floating_point_v<T>, T, double>;
    constexpr T lowest =
        std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    const T* px = x.as<T>().data();
    T* py = y.mutable_as<T>().data();
    std::vector<Sum> sum(static_cast<size_t>(channels));
    for_each_index(out, [&](const std::vector<int64_t>& at, int64_t pixel) {
      T* to = py + pixel * channels;
      if (max) std::fill(to, to + channels, lowest);
      std::fill(sum.begin(), sum.end(), Sum{});
      int64_t inside = 0, padded = 0;
      for_each_index(kernel, [&](const std::vector<int64_t>& tap, int64_t) {
        int64_t from = at[0] * sx[0];
        bool in_input = true, in_padded = true;
        for (size_t d = 0; d < spatial; ++d) {
          const int64_t i = at[d + 1] * strides[d] - pads[d] + tap[d] * dilations[d];
          in_input = in_input && i >= 0 && i < x.dims()[d + 1];
          in_padded = in_padded && i < x.dims()[d + 1] + pads[spatial + d];
          from += i * sx[d + 1];
        }
        padded += in_padded;
        inside += in_input;
        if (!in_input) return;
        for (int64_t c = 0; c < channels; ++c) {
          const T v = px[from + c];
          if (max) {
            if (v > to[c] || v != v) to[c] = v;  // NaN stays
          } else {
            sum[static_cast<size_t>(c)] += static_cast<Sum>(v);
          }
        }
      });
      const auto n = static_cast<Sum>(sums ? 1 : std::max<int64_t>(1, count_include_pad ? padded : inside));
      if (!max)
        for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<T>(sum[static_cast<size_t>(c)] / n);
    });
  });
  if (!known) return fail(Code::kUnsupported, "no reference for " + std::string(dtype_name(x.dtype())));
  const DType type = inputs[0].dtype();
  return one(integers ? wrapped(y, sum_type(type, type)) : convert(y, type));
}

double Pool::flops(std::span<const ValueInfo>, std::span<const ValueInfo> outputs) const {
  const auto work = product(outputs[0].shape).as_const();
  return work ? static_cast<double>(*work * count_of(kernel)) : 0;
}

const OpInfo& op_pool() { return op_info<Pool>(); }

}  // namespace lathe::ops
