// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace lathe::quant {

namespace {

constexpr std::pair<Calibrator, std::string_view> kNames[] = {{Calibrator::kMinMax, "minmax"},
                                                              {Calibrator::kPercentile, "percentile"},
                                                              {Calibrator::kEntropy, "entropy"},
                                                              {Calibrator::kMse, "mse"}};

struct Bin {
  double centre, mass;
};

// Zeros, of which a ReLU makes many, apart: every range represents them as they are.
std::vector<Bin> filled(const Histogram& h) {
  std::vector<Bin> r;
  for (int b = 0; b < Histogram::kBins; ++b)
    if (const int64_t n = h.bins()[static_cast<size_t>(b)] - (b == Histogram::kHalf ? h.zeros() : 0))
      // The outermost bins reach beyond what was seen.
      r.push_back({std::clamp(h.centre(b), static_cast<double>(h.min()), static_cast<double>(h.max())),
                   static_cast<double>(n)});
  return r;
}

struct Levels {
  double scale, zero, low, high;
  explicit Levels(const Params& p)
      : scale(static_cast<double>(p.scale)),
        zero(p.zero),
        low(p.type == DType::kI8 ? -127 : 0),
        high(p.type == DType::kI8 ? 127 : 255) {}
  [[nodiscard]] double of(double x) const { return std::clamp(std::nearbyint(x / scale) + zero, low, high); }
};

double squared_error(std::span<const Bin> bins, Range range, DType type) {
  const Levels levels(params_of(range, type));
  double sum = 0;
  for (const Bin& b : bins) {
    const double e = (levels.of(b.centre) - levels.zero) * levels.scale - b.centre;
    sum += b.mass * e * e;
  }
  return sum;
}

// The divergence of the distribution, what lies outside moved to the ends, from the one that 8 bits keep of its inside:
// the mass of each level, spread evenly over those of its bins that hold anything. Counts are samples: of an even
// distribution they differ too, which k bins of n elements are expected to show as a divergence of (k - 1) / 2n;
// without taking that off, small calibration sets would be clipped to where a level holds one bin.
double divergence(std::span<const Bin> bins, Range range, DType type) {
  const Levels levels(params_of(range, type));
  std::array<double, 256> mass{}, used{};
  double inside = 0, all = 0;
  const auto at = [&](double x) { return static_cast<size_t>(levels.of(x) - levels.low); };
  std::ptrdiff_t first = -1, last = -1;
  for (size_t i = 0; i < bins.size(); ++i) {
    all += bins[i].mass;
    if (bins[i].centre < range.low || bins[i].centre > range.high) continue;
    if (first < 0) first = static_cast<std::ptrdiff_t>(i);
    last = static_cast<std::ptrdiff_t>(i);
    mass[at(bins[i].centre)] += bins[i].mass;
    used[at(bins[i].centre)] += 1;
    inside += bins[i].mass;
  }
  if (inside == 0) return HUGE_VAL;
  double below = 0, above = 0, by_chance = 0;
  for (std::ptrdiff_t i = 0; i < std::ssize(bins); ++i) {
    if (i < first) below += bins[static_cast<size_t>(i)].mass;
    if (i > last) above += bins[static_cast<size_t>(i)].mass;
  }
  double sum = 0;
  for (std::ptrdiff_t i = first; i <= last; ++i) {
    const Bin& b = bins[static_cast<size_t>(i)];
    const double p = (b.mass + (i == first ? below : 0) + (i == last ? above : 0)) / all;
    const double q = mass[at(b.centre)] / used[at(b.centre)] / inside;
    if (q > 0) sum += p * std::log(p / q);
  }
  for (const double k : used) by_chance += std::max(0.0, k - 1) / (2 * all);
  return sum - by_chance;
}

// Each end by itself drawn in, in 60 steps down to a twentieth of it, for the least cost; twice, as they depend on each
// other.
Range search(std::span<const Bin> bins, Range all, DType type, double (*cost)(std::span<const Bin>, Range, DType)) {
  constexpr int kSteps = 60;
  const bool symmetric = type == DType::kI8;
  if (symmetric) all.high = std::max(-all.low, all.high), all.low = -all.high;
  Range best = all;
  double least = cost(bins, all, type);
  for (int round = 0; round < (symmetric ? 1 : 2); ++round) {
    for (const bool high : {true, false}) {
      if (symmetric && !high) continue;
      const Range start = best;
      for (int i = 0; i <= kSteps; ++i) {
        const double part = 1 - 0.95 * i / kSteps;
        Range r = start;
        if (symmetric)
          r = {all.low * part, all.high * part};
        else
          (high ? r.high : r.low) = (high ? all.high : all.low) * part;
        const double c = cost(bins, r, type);
        if (c < least) {
          least = c;
          best = r;
        }
      }
    }
  }
  return best;
}

Range without_tails(std::span<const Bin> bins, Range all, double percentile, double zeros) {
  double total = zeros;
  for (const Bin& b : bins) total += b.mass;
  const double tail = total * std::clamp(1 - percentile / 100, 0.0, 0.5);
  // The largest magnitudes go first, whichever side they are on.
  std::vector<Bin> order(bins.begin(), bins.end());
  std::ranges::sort(order, std::greater{}, [](const Bin& b) { return std::abs(b.centre); });
  double gone = 0, limit = 0;
  for (const Bin& b : order) {
    gone += b.mass;
    limit = std::abs(b.centre);
    if (gone > tail) break;
  }
  return {std::max(all.low, -limit), std::min(all.high, limit)};
}

}  // namespace

std::string_view calibrator_name(Calibrator c) {
  return std::ranges::find(kNames, c, [](const auto& p) { return p.first; })->second;
}

std::optional<Calibrator> find_calibrator(std::string_view name) {
  for (const auto& [c, n] : kNames)
    if (n == name) return c;
  return std::nullopt;
}

Params params_of(Range range, DType type) {
  const double low = std::min(range.low, 0.0), high = std::max(range.high, 0.0);
  if (type == DType::kI8) {
    const auto scale = static_cast<float>(std::max(-low, high) / 127);
    return {type, scale >= 0x1p-100F ? scale : 1, 0};
  }
  const auto scale = static_cast<float>((high - low) / 255);
  if (!(scale >= 0x1p-100F)) return {type, 1, 0};
  return {type, scale, static_cast<int32_t>(std::clamp(std::nearbyint(-low / static_cast<double>(scale)), 0.0, 255.0))};
}

Range choose_range(const Histogram& histogram, Calibrator c, DType type, double percentile) {
  const Range all{std::min(0.0, static_cast<double>(histogram.min())),
                  std::max(0.0, static_cast<double>(histogram.max()))};
  if (c == Calibrator::kMinMax || all.low == all.high) return all;
  const std::vector<Bin> bins = filled(histogram);
  if (c == Calibrator::kPercentile) return without_tails(bins, all, percentile, static_cast<double>(histogram.zeros()));
  return search(bins, all, type, c == Calibrator::kMse ? squared_error : divergence);
}

}  // namespace lathe::quant
