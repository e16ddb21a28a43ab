// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace lathe::quant {

/// The distribution of a value over a calibration set, from one look at each element: counts in equal bins over
/// [-bound, bound), where bound is a power of two that doubles, and bins merge in pairs, when a larger element comes.
/// The same elements in another order give the same histogram.
class Histogram {
 public:
  static constexpr int kBins = 8192;
  static constexpr int kHalf = kBins / 2;  ///< of them are below 0

  void add(std::span<const float> values);

  [[nodiscard]] int64_t count() const { return count_; }  ///< elements, those not finite included
  [[nodiscard]] int64_t not_finite() const { return not_finite_; }
  [[nodiscard]] float min() const { return count_ > not_finite_ ? min_ : 0; }  ///< of the finite ones
  [[nodiscard]] float max() const { return count_ > not_finite_ ? max_ : 0; }
  [[nodiscard]] int64_t zeros() const { return zeros_; }  ///< elements that are 0; their bin counts them too
  [[nodiscard]] double bound() const { return bound_; }
  [[nodiscard]] double bin_width() const { return 2 * bound_ / kBins; }
  /// The middle of bin `b`.
  [[nodiscard]] double centre(int b) const { return (b - kHalf + 0.5) * bin_width(); }
  [[nodiscard]] std::span<const int64_t> bins() const { return bins_; }

 private:
  void widen(double bound);

  std::vector<int64_t> bins_ = std::vector<int64_t>(kBins);
  double bound_ = 0;
  int64_t count_ = 0, not_finite_ = 0, zeros_ = 0;
  float min_ = std::numeric_limits<float>::infinity(), max_ = -std::numeric_limits<float>::infinity();
};

/// What is known of one value after the calibration set was run.
struct Observation {
  Histogram histogram;
  /// For each index of the last dimension: the sum and the largest magnitude of the elements there. Empty where the
  /// last dimension is not constant.
  std::vector<double> channel_sum;
  std::vector<float> channel_max;
  int64_t rows = 0;  ///< elements that went into each sum

  void add(std::span<const float> values, int64_t channels);
};

}  // namespace lathe::quant
