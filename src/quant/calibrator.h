// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "quant/histogram.h"

namespace lathe::quant {

/// How the range that 8 bits cover is chosen from a distribution.
enum class Calibrator : uint8_t {
  kMinMax,      ///< all of it: nothing is clipped
  kPercentile,  ///< all but a share of the elements, split between the tails by where they are
  kEntropy,     ///< least KL divergence between the distribution and what is left of it (Migacz, GTC 2017)
  kMse          ///< least squared error, rounding and clipping together
};
inline constexpr Calibrator kCalibrators[] = {Calibrator::kMinMax, Calibrator::kPercentile, Calibrator::kEntropy,
                                              Calibrator::kMse};
[[nodiscard]] std::string_view calibrator_name(Calibrator c);
[[nodiscard]] std::optional<Calibrator> find_calibrator(std::string_view name);

/// The real numbers that a quantized value can stand for; holds 0.
struct Range {
  double low = 0, high = 0;
};

/// How a value is stored: real = (integer - zero) * scale.
struct Params {
  DType type = DType::kU8;
  float scale = 1;
  int32_t zero = 0;
};
/// u8: the range from 0 to 255, with the zero point where it falls. i8: -127 … 127 about 0, as accelerators want it.
[[nodiscard]] Params params_of(Range range, DType type);

/// The range that `c` chooses for values stored as `type`. `percentile`: how many percent of the elements stay inside.
[[nodiscard]] Range choose_range(const Histogram& histogram, Calibrator c, DType type, double percentile);

}  // namespace lathe::quant
