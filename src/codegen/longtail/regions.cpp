// SPDX-License-Identifier: Apache-2.0
// Regions of images read on a regular grid. The reference is src/ops/roi_align.cpp.
#include "engine/kernel_abi.h"

namespace {

constexpr int64_t kChannelsPerTask = 64, kMostSamples = 4096;

struct Between {
  int64_t low, high;
  double share;
  bool outside;
};

Between between(double v, int64_t n) {
  if (!(v >= -1.0 && v <= static_cast<double>(n))) return {0, 0, 0, true};
  if (v < 0) v = 0;
  const auto low = static_cast<int64_t>(v);
  if (low >= n - 1) return {n - 1, n - 1, 0, false};
  return {low, low + 1, v - static_cast<double>(low), false};
}

int64_t places(double cell, int64_t samples) {
  if (samples > 0) return samples;
  if (!(cell > 0)) return 0;
  if (cell >= static_cast<double>(kMostSamples)) return kMostSamples;
  const auto n = static_cast<int64_t>(cell);
  return static_cast<double>(n) < cell ? n + 1 : n;
}

struct Regions {
  int64_t images, channels, h, w, height, width, samples;
  bool max, half_pixel;
  double scale;
};

template <class T>
T largest(T a, T b) {
  return a > b ? a : b;
}

// One cell of one region for the channels [first, last): y is that of the first, `plane` elements apart.
template <class T>
void fill(const Regions& g, const T* x, T* y, int64_t channels, double top, double left, double cell_h, double cell_w,
          int64_t rows, int64_t columns) {
  const int64_t plane = g.h * g.w, step = g.height * g.width;
  for (int64_t c = 0; c < channels; ++c) y[c * step] = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const Between by = between(top + (static_cast<double>(i) + 0.5) / static_cast<double>(rows) * cell_h, g.h);
    for (int64_t j = 0; j < columns; ++j) {
      const Between bx = between(left + (static_cast<double>(j) + 0.5) / static_cast<double>(columns) * cell_w, g.w);
      const bool first = i == 0 && j == 0;
      if (by.outside || bx.outside) {
        if (g.max && !first)
          for (int64_t c = 0; c < channels; ++c) y[c * step] = largest(y[c * step], T(0));
        continue;
      }
      const T a = static_cast<T>((1 - by.share) * (1 - bx.share)), b = static_cast<T>((1 - by.share) * bx.share),
              d = static_cast<T>(by.share * (1 - bx.share)), e = static_cast<T>(by.share * bx.share);
      const T *p = x + by.low * g.w + bx.low, *q = x + by.low * g.w + bx.high, *r = x + by.high * g.w + bx.low,
              *s = x + by.high * g.w + bx.high;
      for (int64_t c = 0; c < channels; ++c) {
        const T k = a * p[c * plane], l = b * q[c * plane], m = d * r[c * plane], n = e * s[c * plane];
        T& out = y[c * step];
        if (!g.max) {
          out += k + l + m + n;
        } else {
          const T most = largest(largest(k, l), largest(m, n));
          out = first ? most : largest(out, most);
        }
      }
    }
  }
  if (g.max || rows * columns == 0) return;
  const T share = static_cast<T>(1.0 / static_cast<double>(rows * columns));
  for (int64_t c = 0; c < channels; ++c) y[c * step] *= share;
}

template <class T>
void align(const Regions& g, void* const* bufs, int64_t begin, int64_t end) {
  const auto* x = static_cast<const T*>(bufs[0]);
  const auto* rois = static_cast<const T*>(bufs[1]);
  const auto* image = static_cast<const int64_t*>(bufs[2]);
  auto* y = static_cast<T*>(bufs[3]);
  const int64_t blocks = (g.channels + kChannelsPerTask - 1) / kChannelsPerTask, cells = g.height * g.width;
  const double offset = g.half_pixel ? 0.5 : 0;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t r = task / blocks, c = task % blocks * kChannelsPerTask, n = image[r];
    const int64_t channels = c + kChannelsPerTask < g.channels ? kChannelsPerTask : g.channels - c;
    T* to = y + (r * g.channels + c) * cells;
    if (n < 0 || n >= g.images) {
      for (int64_t i = 0; i < channels * cells; ++i) to[i] = 0;
      continue;
    }
    double box[4];
    for (int k = 0; k < 4; ++k) box[k] = static_cast<double>(rois[r * 4 + k]) * g.scale - offset;
    double wide = box[2] - box[0], high = box[3] - box[1];
    if (!g.half_pixel) {
      if (!(wide >= 1)) wide = 1;
      if (!(high >= 1)) high = 1;
    }
    const double cell_h = high / static_cast<double>(g.height), cell_w = wide / static_cast<double>(g.width);
    const int64_t rows = places(cell_h, g.samples), columns = places(cell_w, g.samples);
    const T* from = x + (n * g.channels + c) * g.h * g.w;
    for (int64_t cell = 0; cell < cells; ++cell)
      fill(g, from, to + cell, channels, box[1] + static_cast<double>(cell / g.width) * cell_h,
           box[0] + static_cast<double>(cell % g.width) * cell_w, cell_h, cell_w, rows, columns);
  }
}

}  // namespace

/// bufs: x, regions, images, y; tasks: regions times blocks of 64 channels. `scale`: the bits of a float.
extern "C" void lathe_roi_align(const LatheKernelContext*, void* const* bufs, const int64_t*, int64_t begin,
                                int64_t end, int64_t wide, int64_t images, int64_t channels, int64_t h, int64_t w,
                                int64_t height, int64_t width, int64_t samples, int64_t max, int64_t half_pixel,
                                int64_t scale) {
  const Regions g{images,
                  channels,
                  h,
                  w,
                  height,
                  width,
                  samples,
                  max != 0,
                  half_pixel != 0,
                  static_cast<double>(__builtin_bit_cast(float, static_cast<uint32_t>(scale)))};
  if (wide)
    align<double>(g, bufs, begin, end);
  else
    align<float>(g, bufs, begin, end);
}
