// SPDX-License-Identifier: Apache-2.0
// Pictures of any size become inputs of a fixed one.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "compiler/samples.h"

namespace lathe::compiler {

namespace {

/// Where a channels-first or channels-last input keeps what.
struct ImageShape {
  int64_t height = 0, width = 0, channels = 0;
  bool first = false;
};

lathe::Result<ImageShape> image_shape(const Shape& s, const CalibrationArray& image) {
  const auto is_channels = [](const Dim& d) { return d.equals(1) || d.equals(3); };
  if (s.size() != 4 || (!is_channels(s[1]) && !is_channels(s[3])))
    return fail(Code::kUsage,
                "the input " + shape_str(s) +
                    " takes no pictures; give arrays (npy, npz) instead, prepared as the model wants them");
  ImageShape r;
  r.first = is_channels(s[1]) && !(is_channels(s[3]) && s[3].equals(3));
  const Dim &h = r.first ? s[2] : s[1], &w = r.first ? s[3] : s[2];
  r.channels = *(r.first ? s[1] : s[3]).as_const();
  r.height = h.as_const().value_or(image.dims[0]);
  r.width = w.as_const().value_or(image.dims[1]);
  return r;
}

/// One channel of a picture, resized: each output pixel is the mean of what it covers, weighted linearly, so that
/// shrinking does not alias.
struct Axis {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weight;
};

Axis resample(double begin, double size, int64_t from, int64_t to) {
  Axis a;
  const double step = size / static_cast<double>(to), reach = std::max(1.0, step);
  for (int64_t o = 0; o < to; ++o) {
    const double centre = begin + (static_cast<double>(o) + 0.5) * step - 0.5;
    const auto low = static_cast<int64_t>(std::ceil(centre - reach)),
               high = static_cast<int64_t>(std::floor(centre + reach));
    const int64_t first = std::clamp<int64_t>(low, 0, from - 1), last = std::clamp<int64_t>(high, 0, from - 1);
    std::vector<float> w(static_cast<size_t>(last - first + 1));
    float sum = 0;
    for (int64_t i = low; i <= high; ++i) {
      const double part = 1 - std::abs(static_cast<double>(i) - centre) / reach;
      if (part <= 0) continue;
      w[static_cast<size_t>(std::clamp(i, first, last) - first)] += static_cast<float>(part);
      sum += static_cast<float>(part);
    }
    for (float& x : w) x /= sum;
    a.first.push_back(first);
    a.weight.push_back(std::move(w));
  }
  return a;
}

}  // namespace

lathe::Result<SampleArray> fit_image(const CalibrationArray& image, const ImageOptions& options, DType dtype,
                                     const Shape& shape) {
  if (image.dims.size() != 3 || image.dims[0] <= 0 || image.dims[1] <= 0 ||
      (image.dims[2] != 1 && image.dims[2] != 3) ||
      static_cast<int64_t>(image.data.size()) != image.dims[0] * image.dims[1] * image.dims[2])
    return fail(Code::kUsage, "a picture is bytes of [height, width, 1 or 3]");
  if (dtype != DType::kF32 && dtype != DType::kU8)
    return fail(Code::kUsage, "the input of " + std::string(dtype_name(dtype)) + " takes no pictures; f32 and u8 do");
  LATHE_TRY(const ImageShape to, image_shape(shape, image));
  const auto per_channel = [&](const std::vector<double>& v, int64_t c) {
    return v.size() == 1 ? v[0] : v[static_cast<size_t>(c)];
  };
  for (const auto* v : {&options.mean, &options.deviation})
    if (v->size() != 1 && static_cast<int64_t>(v->size()) != to.channels)
      return fail(Code::kUsage, "mean and deviation have one number, or one for each of the input's " +
                                    std::to_string(to.channels) + " channels");
  const int64_t h = image.dims[0], w = image.dims[1], channels = image.dims[2];
  const double ratio_y = static_cast<double>(h) / static_cast<double>(to.height),
               ratio_x = static_cast<double>(w) / static_cast<double>(to.width);
  double top = 0, left = 0;
  auto rows = static_cast<double>(h), columns = static_cast<double>(w);
  int64_t out_h = to.height, out_w = to.width, at_y = 0, at_x = 0;
  if (options.fit == "crop") {
    const double ratio = std::min(ratio_y, ratio_x);
    rows = ratio * static_cast<double>(to.height);
    columns = ratio * static_cast<double>(to.width);
    top = (static_cast<double>(h) - rows) / 2;
    left = (static_cast<double>(w) - columns) / 2;
  } else if (options.fit == "letterbox") {
    const double ratio = std::max(ratio_y, ratio_x);
    out_h = std::clamp<int64_t>(std::lround(static_cast<double>(h) / ratio), 1, to.height);
    out_w = std::clamp<int64_t>(std::lround(static_cast<double>(w) / ratio), 1, to.width);
    at_y = (to.height - out_h) / 2;
    at_x = (to.width - out_w) / 2;
  } else if (options.fit != "stretch") {
    return fail(Code::kUsage, "fit \"" + options.fit + "\": choose stretch, crop or letterbox");
  }
  const Axis ys = resample(top, rows, h, out_h), xs = resample(left, columns, w, out_w);
  const auto* pixels = reinterpret_cast<const uint8_t*>(image.data.data());
  std::vector<float> line(static_cast<size_t>(w * channels));
  std::vector<float> result(static_cast<size_t>(to.height * to.width * to.channels), 114);
  const auto place = [&](int64_t y, int64_t x, int64_t c) -> float& {
    return result[static_cast<size_t>(to.first ? (c * to.height + y) * to.width + x
                                               : (y * to.width + x) * to.channels + c)];
  };
  for (int64_t y = 0; y < out_h; ++y) {
    std::ranges::fill(line, 0);
    const auto& wy = ys.weight[static_cast<size_t>(y)];
    for (size_t k = 0; k < wy.size(); ++k) {
      const uint8_t* row = pixels + (ys.first[static_cast<size_t>(y)] + static_cast<int64_t>(k)) * w * channels;
      for (size_t i = 0; i < line.size(); ++i) line[i] += wy[k] * static_cast<float>(row[i]);
    }
    for (int64_t x = 0; x < out_w; ++x) {
      std::array<float, 3> sum{};
      const auto& wx = xs.weight[static_cast<size_t>(x)];
      for (size_t k = 0; k < wx.size(); ++k)
        for (int64_t c = 0; c < channels; ++c)
          sum[static_cast<size_t>(c)] +=
              wx[k] *
              line[static_cast<size_t>((xs.first[static_cast<size_t>(x)] + static_cast<int64_t>(k)) * channels + c)];
      if (channels == 1) sum[1] = sum[2] = sum[0];
      if (options.bgr) std::swap(sum[0], sum[2]);
      if (to.channels == 1)
        sum[0] = 0.299F * sum[options.bgr ? 2 : 0] + 0.587F * sum[1] + 0.114F * sum[options.bgr ? 0 : 2];
      for (int64_t c = 0; c < to.channels; ++c) place(at_y + y, at_x + x, c) = sum[static_cast<size_t>(c)];
    }
  }
  SampleArray r;
  r.dims = to.first ? std::vector<int64_t>{1, to.channels, to.height, to.width}
                    : std::vector<int64_t>{1, to.height, to.width, to.channels};
  if (dtype == DType::kU8) {
    for (const float v : result) r.data.push_back(static_cast<std::byte>(std::clamp(std::lround(v), 0L, 255L)));
    return r;
  }
  for (int64_t y = 0; y < to.height; ++y)
    for (int64_t x = 0; x < to.width; ++x)
      for (int64_t c = 0; c < to.channels; ++c) {
        float& v = place(y, x, c);
        v = static_cast<float>((static_cast<double>(v) * options.scale - per_channel(options.mean, c)) /
                               per_channel(options.deviation, c));
      }
  const auto bytes = std::as_bytes(std::span(result));
  r.data.assign(bytes.begin(), bytes.end());
  return r;
}

}  // namespace lathe::compiler
