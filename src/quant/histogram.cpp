// SPDX-License-Identifier: Apache-2.0
#include "quant/histogram.h"

#include <algorithm>
#include <cmath>

namespace lathe::quant {

void Histogram::widen(double bound) {
  if (bound_ == 0) {
    bound_ = bound;
    return;
  }
  const int doublings = static_cast<int>(std::lround(std::log2(bound / bound_)));
  const int shift = std::min(doublings, 13);  // kBins is 2^13: beyond, everything lies beside 0
  std::vector<int64_t> merged(kBins);
  for (int b = 0; b < kBins; ++b) {
    const int to = ((b - kHalf) >> shift) + kHalf;
    merged[static_cast<size_t>(to)] += bins_[static_cast<size_t>(b)];
  }
  bins_ = std::move(merged);
  bound_ = bound;
}

void Histogram::add(std::span<const float> values) {
  float low = min_, high = max_;
  int64_t finite = 0;
  for (const float v : values) {
    const bool ok = std::abs(v) <= std::numeric_limits<float>::max();
    finite += ok;
    zeros_ += v == 0;
    low = ok && v < low ? v : low;
    high = ok && v > high ? v : high;
  }
  count_ += static_cast<int64_t>(values.size());
  not_finite_ += static_cast<int64_t>(values.size()) - finite;
  if (finite == 0) return;
  min_ = low;
  max_ = high;
  const double largest = std::max({std::abs(static_cast<double>(low)), std::abs(static_cast<double>(high)), 0x1p-100});
  if (largest >= bound_) widen(std::exp2(std::floor(std::log2(largest)) + 1));
  // 2^13 bins over a power of two: the products are exact, and an element always falls into the same bin.
  const auto scale = static_cast<float>(kHalf / bound_);
  for (const float v : values) {
    if (!(std::abs(v) <= std::numeric_limits<float>::max())) continue;
    const int b = static_cast<int>(std::floor(v * scale)) + kHalf;
    ++bins_[static_cast<size_t>(std::clamp(b, 0, kBins - 1))];
  }
}

void Observation::add(std::span<const float> values, int64_t channels) {
  histogram.add(values);
  if (channels <= 0 || values.empty()) return;
  const auto width = static_cast<size_t>(channels);
  if (channel_sum.empty()) {
    channel_sum.resize(width);
    channel_max.resize(width);
  }
  for (size_t i = 0; i + width <= values.size(); i += width) {
    for (size_t c = 0; c < width; ++c) {
      const float v = values[i + c];
      channel_sum[c] += static_cast<double>(v);
      channel_max[c] = std::max(channel_max[c], std::abs(v));
    }
  }
  rows += static_cast<int64_t>(values.size() / width);
}

}  // namespace lathe::quant
