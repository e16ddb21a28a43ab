// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "ir/tensor.h"

namespace lathe::quant {

/// Weights by output channel: i8, symmetric, real = integer * scale[channel].
struct ChannelWeights {
  Tensor integers;           ///< of the shape of the weights
  std::vector<float> scale;  ///< one a channel
};

/// `weights` (f32), whose dimension `axis` counts output channels, each scaled so that its largest magnitude is 127.
/// `bias` (empty: none) and `input_scale`: a channel's scale is made large enough for its bias to fit 32 bits.
ChannelWeights quantize_weights(const Tensor& weights, size_t axis, std::span<const float> bias, float input_scale);

/// What rounding the weights adds to the mean of each output channel, given the mean of each input channel:
/// sum over the weights of (rounded - real) * mean. The input channels are dimension `in_axis`; with `groups`, those of
/// group g begin at g * their count in the weights.
std::vector<double> mean_shift(const Tensor& weights, const ChannelWeights& rounded, size_t axis, size_t in_axis,
                               int64_t groups, std::span<const double> means);

}  // namespace lathe::quant
