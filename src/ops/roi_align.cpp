// SPDX-License-Identifier: Apache-2.0
#include "ops/roi_align.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

/// Two neighbours of a coordinate and the share of the second; none where it is outside.
struct Between {
  int64_t low = 0, high = 0;
  double share = 0;
  bool outside = false;
};

Between between(double v, int64_t n) {
  if (!(v >= -1.0 && v <= static_cast<double>(n))) return {.outside = true};
  v = std::max(v, 0.0);
  const auto low = static_cast<int64_t>(v);
  if (low >= n - 1) return {n - 1, n - 1, 0, false};
  return {low, low + 1, v - static_cast<double>(low), false};
}

int64_t places(double cell, int64_t samples) {
  if (samples > 0) return samples;
  const double n = std::ceil(cell);
  return n > 0 ? static_cast<int64_t>(std::min(n, static_cast<double>(RoiAlign::kMostSamples))) : 0;
}

}  // namespace

Result<std::vector<ValueInfo>> RoiAlign::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 3, 3));
  const ValueInfo &x = inputs[0], &rois = inputs[1], &image = inputs[2];
  if (kind != "average" && kind != "max") return fail(Code::kUsage, "kind \"" + kind + "\" is not average or max");
  if (height < 1 || width < 1 || height > 1 << 16 || width > 1 << 16 || samples < 0 || samples > kMostSamples)
    return fail(Code::kUsage, "the output's size or the number of samples is out of range");
  if (x.rank() != 4 || rois.rank() != 2 || image.rank() != 1 || (rois.shape[1].is_const() && !rois.shape[1].equals(4)))
    return fail(Code::kUsage, "input " + shape_str(x.shape) + ", regions " + shape_str(rois.shape) + " and images " +
                                  shape_str(image.shape) + " do not fit");
  if (!dtype_info(x.dtype).is_float || rois.dtype != x.dtype || image.dtype != DType::kI64)
    return fail(Code::kUsage, "regions must be of the input's type, a float, and images i64");
  return one(x.dtype, {rois.shape[0], x.shape[1], height, width});
}

Result<std::vector<Tensor>> RoiAlign::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &rois = inputs[1], &image = inputs[2];
  const int64_t count = rois.dims()[0], channels = x.dims()[1], h = x.dims()[2], w = x.dims()[3];
  if (image.dims()[0] != count) return fail(Code::kUsage, "there is not one image for each region");
  Tensor y = Tensor::zeros(x.dtype(), {count, channels, height, width});
  const double offset = half_pixel ? 0.5 : 0;
  for (int64_t r = 0; r < count; ++r) {
    const int64_t n = image.i64_at(r);
    if (n < 0 || n >= x.dims()[0]) continue;
    std::array<double, 4> box{};
    for (size_t k = 0; k < 4; ++k) box[k] = rois.f64_at(r * 4 + static_cast<int64_t>(k)) * scale - offset;
    double wide = box[2] - box[0], high = box[3] - box[1];
    if (!half_pixel) wide = std::max(wide, 1.0), high = std::max(high, 1.0);
    const double cell_h = high / static_cast<double>(height), cell_w = wide / static_cast<double>(width);
    const int64_t rows = places(cell_h, samples), columns = places(cell_w, samples);
    const double share = 1.0 / static_cast<double>(std::max<int64_t>(rows * columns, 1));
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t cell = 0; cell < height * width; ++cell) {
        double sum = 0, most = 0;
        for (int64_t i = 0; i < rows * columns; ++i) {
          const int64_t cell_y = cell / width, row = i / columns;
          const double at_y =
              box[1] +
              (static_cast<double>(cell_y) + (static_cast<double>(row) + 0.5) / static_cast<double>(rows)) * cell_h;
          const double at_x = box[0] + (static_cast<double>(cell % width) +
                                        (static_cast<double>(i % columns) + 0.5) / static_cast<double>(columns)) *
                                           cell_w;
          const Between by = between(at_y, h), bx = between(at_x, w);
          double largest = 0;
          if (!by.outside && !bx.outside) {
            const auto value = [&](int64_t a, int64_t b) { return x.f64_at(((n * channels + c) * h + a) * w + b); };
            const std::array<double, 4> parts = {(1 - by.share) * (1 - bx.share) * value(by.low, bx.low),
                                                 (1 - by.share) * bx.share * value(by.low, bx.high),
                                                 by.share * (1 - bx.share) * value(by.high, bx.low),
                                                 by.share * bx.share * value(by.high, bx.high)};
            for (const double p : parts) sum += p;
            largest = *std::ranges::max_element(parts);
          }
          most = i == 0 ? largest : std::max(most, largest);
        }
        y.set((r * channels + c) * height * width + cell, kind == "max" ? most : sum * share);
      }
  }
  return one(std::move(y));
}

const OpInfo& op_roi_align() { return op_info<RoiAlign>(); }

}  // namespace lathe::ops
