// SPDX-License-Identifier: Apache-2.0
// Resampling whose scales or sizes are data: sizes, then a table of neighbours and weights for each dimension, then a
// pass along each. The reference is src/ops/resize.cpp.
#include "engine/kernel_abi.h"

namespace {

double floor_of(double x) {
  const auto i = static_cast<double>(static_cast<int64_t>(x));
  return i > x ? i - 1 : i;
}
double ceil_of(double x) { return -floor_of(-x); }
int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

/// What lathe_resize_sizes leaves for a dimension.
struct Scaling {
  double scale, roi_start, roi_end;
};

enum Coordinate : int64_t { kHalfPixel, kAsymmetric, kPytorch, kCorners, kCrop, kHalfPixelNearest, kSymmetric };

double source(int64_t i, int64_t n, int64_t m, const Scaling& s, int64_t coordinate) {
  const auto at = static_cast<double>(i), in = static_cast<double>(n);
  const double out = s.scale * in;
  switch (coordinate) {
    case kAsymmetric:
      return at / s.scale;
    case kPytorch:
      return out == 1 ? 0 : (at + 0.5) / s.scale - 0.5;
    case kCorners:
      return out == 1 ? 0 : at * (in - 1) / (out - 1);
    case kCrop:
      return s.roi_start * (in - 1) + (out == 1 ? (s.roi_end - s.roi_start) * (in - 1) / 2
                                                : at * (s.roi_end - s.roi_start) * (in - 1) / (out - 1));
    case kHalfPixelNearest:
      return (at + 0.5) / s.scale;
    case kSymmetric:
      return in / 2 * (1 - static_cast<double>(m) / out) + (at + 0.5) / s.scale - 0.5;
    default:
      return (at + 0.5) / s.scale - 0.5;
  }
}

double nearest(double x, int64_t mode) {
  switch (mode) {
    case 0:
      return floor_of(x);
    case 1:
      return ceil_of(x);
    case 2:
      return floor_of(x + 0.5);
    default:
      return ceil_of(x - 0.5);
  }
}

double filter(double d, bool linear, double a) {
  d = __builtin_fabs(d);
  if (linear) return d < 1 ? 1 - d : 0;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

}  // namespace

/// bufs: scales?, sizes?, roi?, Scaling[rank]; symbols: sizes, then the most taps of an element. `support`: how far the
/// filter reaches (0: nearest).
extern "C" void lathe_resize_sizes(const LatheKernelContext* context, void* const* bufs, const int64_t*, int64_t,
                                   int64_t, int64_t rank, int64_t support, int64_t antialias, const int64_t* in) {
  const auto* scales = static_cast<const float*>(bufs[0]);
  const auto* sizes = static_cast<const int64_t*>(bufs[1]);
  const auto* roi = static_cast<const float*>(bufs[2]);
  auto* scaling = static_cast<Scaling*>(bufs[3]);
  int64_t total = 1;
  for (int64_t d = 0; d < rank; ++d) {
    const auto n = static_cast<double>(in[d]);
    Scaling& s = scaling[d];
    int64_t size = 0;
    if (scales && !(scales[d] > 0 && scales[d] < 1e6f)) {
      *context->fault = LATHE_FAULT_VALUE;
      return;
    }
    size =
        sizes ? sizes[d] : static_cast<int64_t>(floor_of(static_cast<double>(static_cast<float>(in[d]) * scales[d])));
    s.scale = scales ? static_cast<double>(scales[d]) : in[d] > 0 ? static_cast<double>(size) / n : 1;
    s.roi_start = roi ? static_cast<double>(roi[d]) : 0;
    s.roi_end = roi ? static_cast<double>(roi[rank + d]) : 1;
    const bool bad = size < 0 || size > INT32_MAX || (in[d] == 0 && size > 0);
    if (bad || (size > 0 && __builtin_mul_overflow(total, size, &total)) || total > int64_t{1} << 48) {
      *context->fault = bad ? LATHE_FAULT_VALUE : LATHE_FAULT_MEMORY;
      return;
    }
    context->symbols[d] = size;
    const double shrink = antialias && s.scale < 1 ? s.scale : 1;
    const double reach = 2 * static_cast<double>(support) / (shrink > 1e-6 ? shrink : 1e-6);
    context->symbols[rank + d] = support == 0 ? 1 : static_cast<int64_t>(reach) + 3;
  }
}

/// bufs: Scaling[rank], index [m][taps], weight [m][taps], fixed [m]: what is added where the place lies outside.
extern "C" void lathe_resize_table(const LatheKernelContext*, void* const* bufs, const int64_t*, int64_t, int64_t,
                                   int64_t dim, int64_t n, int64_t m, int64_t taps, int64_t mode, int64_t coordinate,
                                   int64_t nearest_mode, int64_t a_bits, int64_t exclude, int64_t antialias,
                                   int64_t extrapolation_bits) {
  const Scaling& s = static_cast<const Scaling*>(bufs[0])[dim];
  auto* index = static_cast<int32_t*>(bufs[1]);
  auto* weight = static_cast<float*>(bufs[2]);
  auto* fixed = static_cast<float*>(bufs[3]);
  const double a = __builtin_bit_cast(double, a_bits);
  const bool untouched = n == m && s.scale == 1 && s.roi_start == 0 && s.roi_end == 1;
  for (int64_t i = 0; i < m; ++i) {
    int32_t* at = index + i * taps;
    float* w = weight ? weight + i * taps : nullptr;
    for (int64_t k = 0; k < taps; ++k) at[k] = 0;
    for (int64_t k = 0; w && k < taps; ++k) w[k] = 0;
    if (fixed) fixed[i] = 0;
    const double x = untouched ? static_cast<double>(i) : source(i, n, m, s, coordinate);
    if (coordinate == kCrop && !untouched && (x < 0 || x > static_cast<double>(n - 1))) {
      if (fixed) fixed[i] = static_cast<float>(__builtin_bit_cast(double, extrapolation_bits));
      continue;
    }
    if (mode == 0 || untouched) {
      at[0] = static_cast<int32_t>(untouched ? i : clamp(static_cast<int64_t>(nearest(x, nearest_mode)), 0, n - 1));
      if (w) w[0] = 1;
      continue;
    }
    const double shrink = antialias && s.scale < 1 ? s.scale : 1;
    const double reach = (mode == 1 ? 1 : 2) / shrink;
    double sum = 0;
    int64_t count = 0;
    for (auto p = static_cast<int64_t>(floor_of(x - reach)); p <= static_cast<int64_t>(ceil_of(x + reach)); ++p) {
      const double v = filter((static_cast<double>(p) - x) * shrink, mode == 1, a);
      if (v == 0 || (exclude && (p < 0 || p >= n)) || count == taps) continue;
      at[count] = static_cast<int32_t>(clamp(p, 0, n - 1));
      w[count++] = static_cast<float>(v);
      sum += v;
    }
    if (antialias || exclude)
      for (int64_t k = 0; k < count; ++k) w[k] = static_cast<float>(static_cast<double>(w[k]) / sum);
  }
}

/// bufs: x [outer][n][inner], index, weight, fixed, y [outer][m][inner]; tasks: lines of y; f32.
extern "C" void lathe_resize_pass(const LatheKernelContext*, void* const* bufs, const int64_t*, int64_t begin,
                                  int64_t end, int64_t n, int64_t m, int64_t inner, int64_t taps) {
  const auto* index = static_cast<const int32_t*>(bufs[1]);
  const auto* weight = static_cast<const float*>(bufs[2]);
  const auto* fixed = static_cast<const float*>(bufs[3]);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t o = task / m, i = task % m;
    const float* x = static_cast<const float*>(bufs[0]) + o * n * inner;
    float* y = static_cast<float*>(bufs[4]) + task * inner;
    for (int64_t c = 0; c < inner; ++c) y[c] = fixed[i];
    for (int64_t k = 0; k < taps; ++k) {
      const float w = weight[i * taps + k];
      if (w == 0) continue;
      const float* line = x + index[i * taps + k] * inner;
      for (int64_t c = 0; c < inner; ++c) y[c] += w * line[c];
    }
  }
}
