// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_transpose.h"

#include "ops/_data.h"
#include "ops/_integer.h"
#include "ops/_window.h"

namespace lathe::ops {

namespace {

Dim output_size(const ConvTranspose& op, const std::vector<int64_t>& kernel, size_t d, const Dim& input) {
  return (input - 1) * op.strides[d] + op.output_padding[d] + (kernel[d] - 1) * op.dilations[d] + 1 - op.pads[d] -
         op.pads[op.strides.size() + d];
}

}  // namespace

Result<std::vector<ValueInfo>> ConvTranspose::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
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
  LATHE_CHECK(check_window({*kernel, strides, pads, dilations}, spatial));
  if (output_padding.size() != spatial)
    return fail(Code::kUsage, "output_padding must have " + std::to_string(spatial) + " elements");
  const Dim channels = x.shape.back(), filters = w.shape[0];
  if (group < 1 || group >= int64_t{1} << 31 || (filters.is_const() && filters.value() % group != 0))
    return fail(Code::kUsage,
                filters.str() + " output channels do not divide into " + std::to_string(group) + " groups");
  if (const auto c = (w.shape.back() * group - channels).as_const(); c && *c != 0)
    return fail(Code::kUsage,
                "input has " + channels.str() + " channels, the weight is for " + (w.shape.back() * group).str());
  Shape y = {x.shape[0]};
  for (size_t d = 0; d < spatial; ++d) {
    y.push_back(output_size(*this, *kernel, d, x.shape[d + 1]));
    if (y.back().is_const() && y.back().value() < 0)
      return fail(Code::kUsage, "pads remove more than the whole output");
  }
  y.push_back(filters);
  return one(sum, std::move(y));
}

Result<std::vector<Tensor>> ConvTranspose::evaluate(std::span<const Tensor> inputs) const {
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
  const int64_t channels = w.dims().back(), filters = w.dims()[0], per_group = filters / group, taps = count_of(kernel);
  std::vector<int64_t> dims = {x.dims()[0]};
  for (size_t d = 0; d < spatial; ++d) dims.push_back(output_size(*this, kernel, d, x.dims()[d + 1]).value());
  dims.push_back(filters);
  Tensor y = Tensor::zeros(x.dtype(), dims);
  const auto sy = strides_of(dims);
  const bool known = with_type(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T *px = x.as<T>().data(), *pw = w.as<T>().data();
    T* py = y.mutable_as<T>().data();
    if (has(inputs, 2)) {
      const T* bias = wide[2].as<T>().data();
      for (int64_t i = 0, n = y.count(); i < n; ++i) py[i] = bias[i % filters];
    }
    // Each input pixel is scattered: through tap t it reaches output position at * stride - pad + t * dilation.
    const std::vector<int64_t> in(x.dims().begin(), x.dims().end() - 1);
    for_each_index(in, [&](const std::vector<int64_t>& at, int64_t pixel) {
      const T* from = px + pixel * x.dims().back();
      for_each_index(kernel, [&](const std::vector<int64_t>& tap, int64_t t) {
        int64_t to = at[0] * sy[0];
        for (size_t d = 0; d < spatial; ++d) {
          const int64_t i = at[d + 1] * strides[d] - pads[d] + tap[d] * dilations[d];
          if (i < 0 || i >= dims[d + 1]) return;
          to += i * sy[d + 1];
        }
        for (int64_t f = 0; f < filters; ++f) {
          const T* row = from + f / per_group * channels;
          const T* weight = pw + (f * taps + t) * channels;
          T sum{};
          for (int64_t c = 0; c < channels; ++c) sum = static_cast<T>(sum + row[c] * weight[c]);
          py[to + f] = static_cast<T>(py[to + f] + sum);
        }
      });
    });
  });
  if (!known) return fail(Code::kUnsupported, "no reference for " + std::string(dtype_name(x.dtype())));
  return one(small ? wrapped(y, type) : convert(y, type));
}

double ConvTranspose::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  const Dim per_pixel = product(inputs[1].shape);
  const auto work = (product(Shape(inputs[0].shape.begin(), inputs[0].shape.end() - 1)) * per_pixel).as_const();
  return work ? 2.0 * static_cast<double>(*work) : 0;
}

const OpInfo& op_conv_transpose() { return op_info<ConvTranspose>(); }

}  // namespace lathe::ops
