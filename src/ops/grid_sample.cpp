// SPDX-License-Identifier: Apache-2.0
#include "ops/grid_sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

/// Where one coordinate falls: neighbours and their weights.
struct Taps {
  std::array<int64_t, 4> index{};  ///< -1: a zero
  std::array<double, 4> weight{};
  int count = 0;
};

double reflect(double x, double low, double high) {
  const double span = high - low;
  if (span <= 0) return low;
  const double away = x < low ? low - x : x > high ? x - high : -1;
  if (away < 0) return x;
  const double turns = std::floor(away / span), rest = away - turns * span;
  const bool from_low = (x < low) == (std::fmod(turns, 2) == 0);
  return from_low ? low + rest : high - rest;
}

double cubic(double d) {  // Keys, a = -3/4
  constexpr double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

Taps taps_at(const GridSample& op, double v, int64_t n) {
  const auto size = static_cast<double>(n);
  const double low = op.align_corners ? 0 : -0.5, high = op.align_corners ? size - 1 : size - 0.5;
  double x = v;
  if (op.normalized) x = op.align_corners ? (v + 1) / 2 * (size - 1) : ((v + 1) * size - 1) / 2;
  if (op.mode == "nearest") x = std::nearbyint(x);
  if (x < low || x > high) {
    if (op.padding == "border") x = std::clamp(x, 0.0, size - 1);
    if (op.padding == "reflection") x = reflect(x, low, high);
  }
  Taps t;
  if (!(std::abs(x) < 0x1p60)) return t;  // NaN and what is far outside
  const auto put = [&](int64_t i, double weight) {
    if (op.padding == "border") i = std::clamp<int64_t>(i, 0, n - 1);
    if (op.padding == "reflection")
      i = std::clamp<int64_t>(static_cast<int64_t>(reflect(static_cast<double>(i), low, high)), 0, n - 1);
    t.index[static_cast<size_t>(t.count)] = i >= 0 && i < n ? i : -1;
    t.weight[static_cast<size_t>(t.count++)] = weight;
  };
  const double floor = std::floor(x);
  const auto base = static_cast<int64_t>(floor);
  if (op.mode == "nearest") {
    put(static_cast<int64_t>(x), 1);
  } else if (op.mode == "linear") {
    put(base, 1 - (x - floor));
    put(base + 1, x - floor);
  } else {
    for (int64_t k = -1; k <= 2; ++k) put(base + k, cubic(x - floor - static_cast<double>(k)));
  }
  return t;
}

}  // namespace

Result<std::vector<ValueInfo>> GridSample::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &x = inputs[0], &grid = inputs[1];
  const int64_t d = x.rank() - 2;
  if (mode != "nearest" && mode != "linear" && mode != "cubic")
    return fail(Code::kUsage, "mode \"" + mode + "\" is not nearest, linear or cubic");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    return fail(Code::kUsage, "padding mode \"" + padding + "\" is not zeros, border or reflection");
  if (d < 1 || d > 3 || grid.rank() != d + 2 || (grid.shape.back().is_const() && grid.shape.back().value() != d) ||
      (x.shape[0].is_const() && grid.shape[0].is_const() && !(x.shape[0] == grid.shape[0])))
    return fail(Code::kUsage, "input " + shape_str(x.shape) + " and grid " + shape_str(grid.shape) + " do not fit");
  if (!dtype_info(grid.dtype).is_float) return fail(Code::kUsage, "the grid must be of floats");
  Shape y = {x.shape[0], x.shape[1]};
  y.insert(y.end(), grid.shape.begin() + 1, grid.shape.end() - 1);
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> GridSample::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &grid = inputs[1];
  const size_t d = x.dims().size() - 2;
  std::vector<int64_t> dims = {x.dims()[0], x.dims()[1]};
  dims.insert(dims.end(), grid.dims().begin() + 1, grid.dims().end() - 1);
  const std::vector<int64_t> spatial(x.dims().begin() + 2, x.dims().end());
  const auto strides = strides_of(spatial);
  const int64_t plane = count_of(spatial), places = count_of(std::span(dims).subspan(2)), channels = dims[1];
  Tensor y = Tensor::zeros(x.dtype(), dims);
  for (int64_t n = 0; n < dims[0]; ++n)
    for (int64_t p = 0; p < places; ++p) {
      std::vector<Taps> taps;
      for (size_t k = 0; k < d; ++k)
        taps.push_back(
            taps_at(*this, grid.f64_at((n * places + p) * static_cast<int64_t>(d) + static_cast<int64_t>(d - 1 - k)),
                    spatial[k]));
      for (int64_t c = 0; c < channels; ++c) {
        // Sum over all combinations of neighbours.
        const std::function<double(size_t, int64_t)> sum = [&](size_t k, int64_t at) -> double {
          if (k == d) return x.f64_at((n * channels + c) * plane + at);
          double s = 0;
          for (int i = 0; i < taps[k].count; ++i) {
            const auto t = static_cast<size_t>(i);
            if (taps[k].index[t] >= 0) s += taps[k].weight[t] * sum(k + 1, at + taps[k].index[t] * strides[k]);
          }
          return s;
        };
        y.set((n * channels + c) * places + p, sum(0, 0));
      }
    }
  return one(std::move(y));
}

const OpInfo& op_grid_sample() { return op_info<GridSample>(); }

}  // namespace lathe::ops
