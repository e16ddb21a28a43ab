// SPDX-License-Identifier: Apache-2.0
#include "ops/conv.h"

#include "ops/_data.h"
#include "ops/_integer.h"
#include "ops/_window.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Conv::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 3));
  const ValueInfo &x = inputs[0], &w = inputs[1];
  if (x.rank() < 3 || w.rank() != x.rank())
    return fail(Code::kUsage, "input " + shape_str(x.shape) + " and weight " + shape_str(w.shape) +
                                  " must have the same rank, 3 at least");
  LATHE_CHECK(check_operands(x, w, x_zero, w_zero));
  const DType sum = sum_type(x.dtype, w.dtype);
  if (has(inputs, 2) && inputs[2].dtype != sum)
    return fail(Code::kUsage, "the bias is " + std::string(dtype_name(inputs[2].dtype)) + ", the sums are " +
                                  std::string(dtype_name(sum)));
  const size_t spatial = x.shape.size() - 2;
  const auto kernel = static_dims(Shape(w.shape.begin() + 1, w.shape.end() - 1));
  if (!kernel) return fail(Code::kUnsupported, "the kernel size of weight " + shape_str(w.shape) + " is not constant");
  const Window window{*kernel, strides, pads, dilations};
  LATHE_CHECK(check_window(window, spatial));
  const Dim channels = x.shape.back(), filters = w.shape[0];
  if (group < 1 || group >= int64_t{1} << 31)
    return fail(Code::kUsage, "group " + std::to_string(group) + " is out of range");
  if (const auto c = (w.shape.back() * group - channels).as_const(); c && *c != 0)
    return fail(Code::kUsage,
                "input has " + channels.str() + " channels, the weight is for " + (w.shape.back() * group).str());
  if (filters.is_const() && filters.value() % group != 0)
    return fail(Code::kUsage, filters.str() + " output channels are not a multiple of group " + std::to_string(group));
  if (has(inputs, 2) && (inputs[2].rank() != 1 ||
                         (inputs[2].shape[0].is_const() && filters.is_const() && !(inputs[2].shape[0] == filters))))
    return fail(Code::kUsage,
                "bias " + shape_str(inputs[2].shape) + " is not one value for each of " + filters.str() + " channels");
  Shape y = {x.shape[0]};
  for (size_t d = 0; d < spatial; ++d) {
    y.push_back(window_output(window, d, x.shape[d + 1], false));
    if (y.back().is_const() && y.back().value() < 0)
      return fail(Code::kUsage, "the kernel is larger than the padded input " + shape_str(x.shape));
  }
  y.push_back(filters);
  return one(sum, std::move(y));
}

Result<std::vector<Tensor>> Conv::evaluate(std::span<const Tensor> inputs) const {
  auto wide = widened(inputs);
  const DType type = sum_type(inputs[0].dtype(), inputs[1].dtype());
  const bool small = is_small_integer(inputs[0].dtype());
  if (small) {
    wide[0] = centred(inputs[0], x_zero);
    wide[1] = centred(inputs[1], w_zero);
    if (has(inputs, 2)) wide[2] = centred(inputs[2], 0);
  }
  const Tensor &x = wide[0], &w = wide[1];
  const size_t spatial = strides.size();
  const std::vector<int64_t> kernel(w.dims().begin() + 1, w.dims().end() - 1);
  const Window window{kernel, strides, pads, dilations};
  const int64_t channels = w.dims().back(), filters = w.dims()[0], per_group = filters / group;
  std::vector<int64_t> out = {x.dims()[0]};
  for (size_t d = 0; d < spatial; ++d) out.push_back(window_output(window, d, x.dims()[d + 1], false).value());
  const auto sx = strides_of(x.dims());
  const int64_t taps = count_of(kernel);
  std::vector<int64_t> dims = out;
  dims.push_back(filters);
  Tensor y = Tensor::zeros(x.dtype(), dims);
  const bool known = with_type(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T *px = x.as<T>().data(), *pw = w.as<T>().data();
    const T* bias = has(inputs, 2) ? wide[2].as<T>().data() : nullptr;
    T* py = y.mutable_as<T>().data();
    for_each_index(out, [&](const std::vector<int64_t>& at, int64_t pixel) {
      T* to = py + pixel * filters;
      for (int64_t f = 0; f < filters; ++f) to[f] = bias ? bias[f] : T{};
      for_each_index(kernel, [&](const std::vector<int64_t>& tap, int64_t t) {
        int64_t from = at[0] * sx[0];
        for (size_t d = 0; d < spatial; ++d) {
          const int64_t i = at[d + 1] * strides[d] - pads[d] + tap[d] * dilations[d];
          if (i < 0 || i >= x.dims()[d + 1]) return;
          from += i * sx[d + 1];
        }
        for (int64_t f = 0; f < filters; ++f) {
          const T* row = px + from + f / per_group * channels;
          const T* weight = pw + (f * taps + t) * channels;
          T sum{};
          for (int64_t c = 0; c < channels; ++c) sum = static_cast<T>(sum + row[c] * weight[c]);
          to[f] = static_cast<T>(to[f] + sum);
        }
      });
    });
  });
  if (!known) return fail(Code::kUnsupported, "no reference for " + std::string(dtype_name(x.dtype())));
  return one(small ? wrapped(y, type) : convert(y, type));
}

double Conv::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const {
  const auto work =
      (product(outputs[0].shape) * product(Shape(inputs[1].shape.begin() + 1, inputs[1].shape.end()))).as_const();
  return work ? 2.0 * static_cast<double>(*work) : 0;
}

const OpInfo& op_conv() { return op_info<Conv>(); }

}  // namespace lathe::ops
