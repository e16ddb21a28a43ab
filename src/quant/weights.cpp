// SPDX-License-Identifier: Apache-2.0
#include "quant/weights.h"

#include <algorithm>
#include <cmath>

namespace lathe::quant {

namespace {

/// Elements between neighbours along a dimension.
int64_t stride_of(const std::vector<int64_t>& dims, size_t axis) {
  int64_t s = 1;
  for (size_t d = axis + 1; d < dims.size(); ++d) s *= dims[d];
  return s;
}

}  // namespace

ChannelWeights quantize_weights(const Tensor& weights, size_t axis, std::span<const float> bias, float input_scale) {
  const std::vector<float> w = weights.to_f32();
  const int64_t channels = weights.dims()[axis], stride = stride_of(weights.dims(), axis);
  const auto channel = [&](size_t i) { return static_cast<size_t>(static_cast<int64_t>(i) / stride % channels); };
  ChannelWeights r;
  r.scale.resize(static_cast<size_t>(channels));
  for (size_t i = 0; i < w.size(); ++i) r.scale[channel(i)] = std::max(r.scale[channel(i)], std::abs(w[i]));
  for (size_t c = 0; c < r.scale.size(); ++c) {
    float& s = r.scale[c];
    s = s > 0x1p-90F ? s / 127 : 1.0F / 127;
    if (c < bias.size()) s = std::max(s, std::abs(bias[c]) / (input_scale * 0x1p30F));
  }
  r.integers = Tensor::zeros(DType::kI8, weights.dims());
  const auto q = r.integers.mutable_as<int8_t>();
  for (size_t i = 0; i < w.size(); ++i)
    q[i] = static_cast<int8_t>(std::clamp(std::nearbyint(w[i] / r.scale[channel(i)]), -127.0F, 127.0F));
  return r;
}

std::vector<double> mean_shift(const Tensor& weights, const ChannelWeights& rounded, size_t axis, size_t in_axis,
                               int64_t groups, std::span<const double> means) {
  const std::vector<float> w = weights.to_f32();
  const auto q = rounded.integers.as<int8_t>();
  const int64_t channels = weights.dims()[axis], stride = stride_of(weights.dims(), axis);
  const int64_t inputs = weights.dims()[in_axis], in_stride = stride_of(weights.dims(), in_axis);
  std::vector<double> r(static_cast<size_t>(channels));
  if (static_cast<int64_t>(means.size()) != inputs * groups) return r;
  for (size_t i = 0; i < w.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t c = at / stride % channels, group = c / std::max<int64_t>(1, channels / groups);
    const double error = static_cast<double>(q[i]) * static_cast<double>(rounded.scale[static_cast<size_t>(c)]) -
                         static_cast<double>(w[i]);
    r[static_cast<size_t>(c)] += error * means[static_cast<size_t>(group * inputs + at / in_stride % inputs)];
  }
  return r;
}

}  // namespace lathe::quant
