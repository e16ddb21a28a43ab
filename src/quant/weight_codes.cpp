// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

namespace lathe::quant {

namespace {

constexpr int kShrinks = 16;       // ranges tried below the largest magnitude
constexpr double kSmallest = 0.7;  // of them
constexpr double kDamping = 0.01;  // of the mean of the diagonal
constexpr float kLargestF4 = 6, kLargestF8 = 448;

/// The nearest multiple of the type's spacing at v; ties to even.
float nearest_float(float v, int mantissa, int least_exponent, float largest) {
  const float size = std::min(std::abs(v), largest);
  if (size == 0) return std::copysign(0.0F, v);
  const int exponent = std::max(std::ilogb(size), least_exponent) - mantissa;
  return std::copysign(std::min(largest, std::ldexp(std::nearbyint(std::ldexp(size, -exponent)), exponent)), v);
}
float nearest_f8(float v) { return nearest_float(v, 3, -6, kLargestF8); }
float nearest_f4(float v) { return nearest_float(v, 1, 0, kLargestF4); }
float nearest_half(float v) { return half_to_float(float_to_half(v)); }

struct Grid {
  float scale = 1, zero = 0;  ///< zero: a code
};

class Coder {
 public:
  Coder(const WeightFormat& format, float largest) : f_(format) {
    const bool four = dtype_bits(f_.type) == 4;
    low_ = f_.type == DType::kI4 ? -8.0F : f_.type == DType::kI8 ? -127.0F : 0.0F;
    high_ = f_.type == DType::kI4 ? 7.0F : f_.type == DType::kI8 ? 127.0F : four ? 15.0F : 255.0F;
    if (f_.nvfp4() && largest > 0) multiplier_ = largest / (kLargestF4 * kLargestF8);
  }

  [[nodiscard]] float multiplier() const { return multiplier_; }
  [[nodiscard]] bool has_zeros() const { return f_.type == DType::kU4 || f_.type == DType::kU8; }

  [[nodiscard]] float code(float w, const Grid& g) const {
    const float x = w / (g.scale * multiplier_);
    if (f_.type == DType::kF8E4M3FN) return nearest_f8(x);
    if (f_.type == DType::kF4E2M1) return nearest_f4(x);
    return std::clamp(std::nearbyint(x + g.zero), low_, high_);
  }
  [[nodiscard]] float value(float code, const Grid& g) const { return (code - g.zero) * g.scale * multiplier_; }

  /// Of the grids that are tried, the one of least squared error.
  [[nodiscard]] Grid grid(std::span<const float> w) const {
    float least = 0, most = 0;
    for (const float v : w) {
      least = std::min(least, v);
      most = std::max(most, v);
    }
    if (least == 0 && most == 0) return {1, 0};
    Grid best;
    double best_error = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kShrinks; ++i) {
      const auto share = static_cast<float>(1 - (1 - kSmallest) * i / (kShrinks - 1));
      const Grid g = candidate(least * share, most * share, i);
      if (!(g.scale > 0) || !std::isfinite(g.scale)) continue;
      double error = 0;
      for (const float v : w) {
        const double d = static_cast<double>(value(code(v, g), g)) - static_cast<double>(v);
        error += d * d;
      }
      if (!(error < best_error)) continue;
      best_error = error;
      best = g;
    }
    return best;
  }

 private:
  [[nodiscard]] Grid candidate(float least, float most, int i) const {
    const float size = std::max(-least, most);
    switch (f_.type) {
      case DType::kF8E4M3FN:
        return {nearest_half(size / kLargestF8), 0};
      case DType::kF4E2M1:
        if (f_.nvfp4()) return {nearest_f8(size / kLargestF4 / multiplier_), 0};
        return {std::exp2(
                    std::clamp(std::floor(std::log2(size / kLargestF4)) + static_cast<float>(i % 3), -126.0F, 126.0F)),
                0};
      case DType::kI4:
      case DType::kI8: {
        // Of i4 the larger side may take the code that the other lacks.
        const float scale = nearest_half(size / (f_.type == DType::kI4 && i % 2 == 0 ? 7.5F : high_));
        return {scale, 0};
      }
      default: {
        const float scale = nearest_half((most - least) / high_);
        return {scale, scale > 0 ? std::clamp(std::nearbyint(-least / scale), 0.0F, high_) : 0};
      }
    }
  }

  WeightFormat f_;
  float low_ = 0, high_ = 0, multiplier_ = 1;
};

template <class F>
void in_parallel(int64_t count, const F& work) {
  const auto threads = std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, std::max<int64_t>(1, count));
  std::vector<std::jthread> pool;
  for (int64_t t = 1; t < threads; ++t)
    pool.emplace_back([&, t] { work(count * t / threads, count * (t + 1) / threads); });
  work(0, count / threads);
}

double dot(const double* a, const double* b, int64_t n) {
  double sums[8] = {};  // several, so that they can be vectors
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j) sums[j] += a[i + j] * b[i + j];
  double sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (const double s : sums) sum += s;
  return sum;
}

/// With the Cholesky factor L of h (damped), element [i, j] is L[i, j] / L[j, j]: what an error at i asks for at j < i.
/// Empty where h has no such factor.
std::vector<float> spreading(const Hessian& h) {
  const int64_t k = h.k;
  std::vector<double> l(h.products.begin(), h.products.end());
  const auto row = [&](int64_t i) { return l.data() + i * k; };
  double mean = 0;
  for (int64_t i = 0; i < k; ++i) mean += row(i)[i] / static_cast<double>(k);
  if (!(mean > 0) || !std::isfinite(mean)) return {};
  for (int64_t i = 0; i < k; ++i) {
    row(i)[i] += kDamping * mean;
    for (int64_t j = 0; j < i; ++j) row(i)[j] = (row(i)[j] - dot(row(i), row(j), j)) / row(j)[j];
    const double square = row(i)[i] - dot(row(i), row(i), i);
    if (!(square > 0)) return {};
    row(i)[i] = std::sqrt(square);
  }
  std::vector<float> r(l.size());
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < i; ++j) r[static_cast<size_t>(i * k + j)] = static_cast<float>(row(i)[j] / row(j)[j]);
  return r;
}

}  // namespace

void Hessian::add(std::span<const float> rows) {
  if (k == 0) return;
  products.resize(static_cast<size_t>(k * k));
  const auto count = static_cast<int64_t>(rows.size()) / k;
  in_parallel(k, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < count; ++r) {
      const float* x = rows.data() + r * k;
      for (int64_t i = begin; i < end; ++i)
        for (int64_t j = 0; j <= i; ++j) products[static_cast<size_t>(i * k + j)] += x[i] * x[j];
    }
  });
}

WeightCodes code_weights(const Tensor& weights, const WeightFormat& format, const Hessian* hessian) {
  const int64_t n = weights.dims()[0], k = weights.dims()[1], block = format.block > 0 ? std::min(format.block, k) : k;
  const int64_t blocks = (k + block - 1) / block;
  const std::vector<float> w = weights.to_f32();
  float largest = 0;
  for (const float v : w) largest = std::max(largest, std::abs(v));
  const Coder coder(format, largest);
  const std::vector<float> spread = hessian ? spreading(*hessian) : std::vector<float>();
  std::vector<float> codes(w.size()), scales(static_cast<size_t>(n * blocks)), zeros(scales.size());
  std::vector<double> errors(static_cast<size_t>(n));
  in_parallel(n, [&](int64_t begin, int64_t end) {
    std::vector<float> asked(static_cast<size_t>(k));
    for (int64_t c = begin; c < end; ++c) {
      const float* row = w.data() + c * k;
      std::ranges::copy(row, row + k, asked.begin());
      for (int64_t g = blocks; g-- > 0;) {
        const int64_t first = g * block, last = std::min(k, first + block);
        const Grid grid =
            coder.grid(std::span(asked).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)));
        scales[static_cast<size_t>(c * blocks + g)] = grid.scale;
        zeros[static_cast<size_t>(c * blocks + g)] = grid.zero;
        for (int64_t i = last; i-- > first;) {
          const float code = coder.code(asked[static_cast<size_t>(i)], grid);
          codes[static_cast<size_t>(c * k + i)] = code;
          // Earlier elements make up for what is wrong here, whatever was asked of this one.
          const float error = row[i] - coder.value(code, grid);
          errors[static_cast<size_t>(c)] += static_cast<double>(error) * static_cast<double>(error);
          if (spread.empty()) continue;
          const float* by = spread.data() + i * k;
          for (int64_t j = 0; j < i; ++j) asked[static_cast<size_t>(j)] += by[j] * error;
        }
      }
    }
  });
  WeightCodes r;
  const DType type = format.type == DType::kI4       ? DType::kI8
                     : format.type == DType::kU4     ? DType::kU8
                     : format.type == DType::kF4E2M1 ? DType::kF8E4M3FN
                                                     : format.type;
  const auto filled = [&](const std::vector<float>& values, std::vector<int64_t> dims) {
    Tensor t = Tensor::zeros(type, std::move(dims));
    for (int64_t i = 0; i < t.count(); ++i) t.set(i, static_cast<double>(values[static_cast<size_t>(i)]));
    return t;
  };
  r.code = filled(codes, {n, k});
  r.scale = Tensor::of<float>(DType::kF32, {n, blocks}, scales);
  if (coder.has_zeros()) r.zero = filled(zeros, {n, blocks});
  r.multiplier = coder.multiplier();
  double error = 0, size = 0;
  for (const double e : errors) error += e;
  for (const float v : w) size += static_cast<double>(v) * static_cast<double>(v);
  r.error = size > 0 ? std::sqrt(error / size) : 0;
  return r;
}

}  // namespace lathe::quant
