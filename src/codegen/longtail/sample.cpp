// SPDX-License-Identifier: Apache-2.0
// Interpolated reads at places that are data. The reference is src/ops/grid_sample.cpp.
#include "engine/kernel_abi.h"

namespace {

struct Taps {
  int64_t index[4];
  double weight[4];
  int count;
};

double floor_of(double x) {
  const auto i = static_cast<double>(static_cast<int64_t>(x));
  return i > x ? i - 1 : i;
}
double nearest_even(double x) {
  constexpr double kMagic = 0x1.8p52;
  return __builtin_fabs(x) < 0x1p51 ? (x + kMagic) - kMagic : x;
}
int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

double reflect(double x, double low, double high) {
  const double span = high - low;
  if (span <= 0) return low;
  const double away = x < low ? low - x : x > high ? x - high : -1;
  if (away < 0 || !(away < 0x1p60)) return x;
  const double turns = floor_of(away / span), rest = away - turns * span;
  const bool even = (static_cast<int64_t>(turns) & 1) == 0;
  return (x < low) == even ? low + rest : high - rest;
}

double cubic(double d) {
  constexpr double a = -0.75;
  d = __builtin_fabs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

struct Sampling {
  int64_t mode;     // 0 nearest, 1 linear, 2 cubic
  int64_t padding;  // 0 zeros, 1 border, 2 reflection
  bool align_corners, normalized;

  Taps taps(double v, int64_t n) const {
    const auto size = static_cast<double>(n);
    const double low = align_corners ? 0 : -0.5, high = align_corners ? size - 1 : size - 0.5;
    double x = v;
    if (normalized) x = align_corners ? (v + 1) / 2 * (size - 1) : ((v + 1) * size - 1) / 2;
    if (mode == 0) x = nearest_even(x);
    if (x < low || x > high) {
      if (padding == 1) x = x < 0 ? 0 : x > size - 1 ? size - 1 : x;
      if (padding == 2) x = reflect(x, low, high);
    }
    Taps t;
    t.count = 0;
    if (!(__builtin_fabs(x) < 0x1p60)) return t;
    const auto put = [&](int64_t i, double weight) {
      if (padding == 1) i = clamp(i, 0, n - 1);
      if (padding == 2) i = clamp(static_cast<int64_t>(reflect(static_cast<double>(i), low, high)), 0, n - 1);
      t.index[t.count] = i >= 0 && i < n ? i : -1;
      t.weight[t.count++] = weight;
    };
    const double base = floor_of(x);
    const auto first = static_cast<int64_t>(base);
    if (mode == 0) {
      put(static_cast<int64_t>(x), 1);
    } else if (mode == 1) {
      put(first, 1 - (x - base));
      put(first + 1, x - base);
    } else {
      for (int64_t k = -1; k <= 2; ++k) put(first + k, cubic(x - base - static_cast<double>(k)));
    }
    return t;
  }
};

constexpr int64_t kPlacesPerTask = 128;

template <class T>
void sample(void* const* bufs, int64_t begin, int64_t end, int64_t rank, int64_t channels, int64_t places,
            const Sampling& s, const int64_t* spatial) {
  const auto* x = static_cast<const T*>(bufs[0]);
  const auto* grid = static_cast<const T*>(bufs[1]);
  auto* y = static_cast<T*>(bufs[2]);
  const int64_t blocks = (places + kPlacesPerTask - 1) / kPlacesPerTask;
  int64_t plane = 1;
  for (int64_t d = 0; d < rank; ++d) plane *= spatial[d];
  for (int64_t task = begin; task < end; ++task) {
    const int64_t n = task / blocks, first = task % blocks * kPlacesPerTask;
    const int64_t last = first + kPlacesPerTask < places ? first + kPlacesPerTask : places;
    for (int64_t p = first; p < last; ++p) {
      // All combinations of neighbours, as one list of positions and weights for every channel.
      int64_t at[64];
      double weight[64];
      int64_t count = 1;
      at[0] = 0;
      weight[0] = 1;
      for (int64_t d = 0; d < rank; ++d) {
        const Taps t = s.taps(static_cast<double>(grid[(n * places + p) * rank + rank - 1 - d]), spatial[d]);
        int64_t next_at[64], next = 0;
        double next_weight[64];
        for (int64_t i = 0; i < count; ++i)
          for (int k = 0; k < t.count; ++k)
            if (t.index[k] >= 0) {
              next_at[next] = at[i] * spatial[d] + t.index[k];
              next_weight[next++] = weight[i] * t.weight[k];
            }
        count = next;
        for (int64_t i = 0; i < count; ++i) at[i] = next_at[i], weight[i] = next_weight[i];
      }
      for (int64_t c = 0; c < channels; ++c) {
        const T* image = x + (n * channels + c) * plane;
        double sum = 0;
        for (int64_t i = 0; i < count; ++i) sum += weight[i] * static_cast<double>(image[at[i]]);
        y[(n * channels + c) * places + p] = static_cast<T>(sum);
      }
    }
  }
}

}  // namespace

/// bufs: x, grid, y; tasks: images times blocks of 128 places.
extern "C" void lathe_grid_sample(const LatheKernelContext*, void* const* bufs, const int64_t*, int64_t begin,
                                  int64_t end, int64_t wide, int64_t rank, int64_t channels, int64_t places,
                                  int64_t mode, int64_t padding, int64_t align_corners, int64_t normalized,
                                  const int64_t* spatial) {
  const Sampling s{mode, padding, align_corners != 0, normalized != 0};
  if (wide)
    sample<double>(bufs, begin, end, rank, channels, places, s, spatial);
  else
    sample<float>(bufs, begin, end, rank, channels, places, s, spatial);
}
