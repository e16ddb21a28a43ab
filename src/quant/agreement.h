// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace lathe::quant {

/// How far numbers are from those that they stand for, summed over many.
class Agreement {
 public:
  void add(std::span<const float> wanted, std::span<const float> got) {
    for (size_t i = 0; i < std::min(wanted.size(), got.size()); ++i) {
      const double w = static_cast<double>(wanted[i]), g = static_cast<double>(got[i]), d = g - w;
      if (!std::isfinite(w) && !std::isfinite(d)) continue;  // infinite in both, or of no meaning
      signal_ += w * w;
      noise_ += d * d;
      product_ += w * g;
      own_ += g * g;
      worst_ = std::max(worst_, std::abs(d));
    }
  }
  /// Signal to noise in dB; 200 where there is no difference.
  [[nodiscard]] double snr() const {
    if (noise_ == 0) return 200;
    if (!(signal_ > 0)) return -200;
    return std::clamp(10 * std::log10(signal_ / noise_), -200.0, 200.0);
  }
  [[nodiscard]] double cosine() const {
    if (noise_ == 0) return 1;
    return signal_ > 0 && own_ > 0 ? product_ / std::sqrt(signal_ * own_) : 0;
  }
  [[nodiscard]] double worst() const { return worst_; }

 private:
  double signal_ = 0, noise_ = 0, product_ = 0, own_ = 0, worst_ = 0;
};

}  // namespace lathe::quant
