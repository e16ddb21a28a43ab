// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include <algorithm>
#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

// Output size of a dimension for a scale: floor(n * scale) in f32, as ONNX Runtime has it. A symbolic dimension needs a
// scale that is a small fraction.
std::optional<Dim> scaled(const Dim& n, double scale) {
  if (n.is_const()) return static_cast<int64_t>(std::floor(static_cast<float>(n.value()) * static_cast<float>(scale)));
  for (int64_t q = 1; q <= 64; ++q) {
    const double p = std::round(scale * static_cast<double>(q));
    if (p >= 1 && p < 1e6 && std::abs(scale * static_cast<double>(q) - p) < 1e-6)
      return floor_div(n * static_cast<int64_t>(p), q);
  }
  return std::nullopt;
}

/// One axis of the resampling: n input elements, m output elements.
struct Axis {
  const Resize& op;
  int64_t n, m;
  double scale;
  double roi_start = 0, roi_end = 1;

  // ONNX coordinate_transformation_mode: where output element i lies in the input.
  [[nodiscard]] double source(int64_t i) const {
    const auto at = static_cast<double>(i), in = static_cast<double>(n);
    const double out = scale * in;  // a fraction, as in the ONNX reference
    const std::string& c = op.coordinate;
    if (c == "asymmetric") return at / scale;
    if (c == "pytorch_half_pixel") return out == 1 ? 0 : (at + 0.5) / scale - 0.5;
    if (c == "align_corners") return out == 1 ? 0 : at * (in - 1) / (out - 1);
    if (c == "tf_crop_and_resize")
      return roi_start * (in - 1) +
             (out == 1 ? (roi_end - roi_start) * (in - 1) / 2 : at * (roi_end - roi_start) * (in - 1) / (out - 1));
    if (c == "tf_half_pixel_for_nn") return (at + 0.5) / scale;
    if (c == "half_pixel_symmetric") {
      const double adjustment = static_cast<double>(m) / out;
      return in / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5;
    }
    return (at + 0.5) / scale - 0.5;
  }
  [[nodiscard]] bool outside(double x) const {
    return op.coordinate == "tf_crop_and_resize" && (x < 0 || x > static_cast<double>(n - 1));
  }

  [[nodiscard]] int64_t nearest(double x) const {
    double r = x;
    if (op.nearest_mode == "floor")
      r = std::floor(x);
    else if (op.nearest_mode == "ceil")
      r = std::ceil(x);
    else if (op.nearest_mode == "round_prefer_ceil")
      r = std::floor(x + 0.5);
    else
      r = std::ceil(x - 0.5);
    return std::clamp<int64_t>(static_cast<int64_t>(r), 0, n - 1);
  }

  // The filter at distance d (in input elements).
  [[nodiscard]] double filter(double d) const {
    d = std::abs(d);
    if (op.mode == "linear") return std::max(0.0, 1 - d);
    const double a = op.cubic_coeff_a;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  }

  using Tap = Resize::Tap;
  [[nodiscard]] std::vector<Tap> taps(double x) const {
    if (op.mode == "nearest") return {{nearest(x), 1}};
    const double shrink = op.antialias ? std::min(scale, 1.0) : 1;
    const double reach = (op.mode == "linear" ? 1 : 2) / shrink;
    std::vector<Tap> t;
    double total = 0;
    for (auto p = static_cast<int64_t>(std::floor(x - reach)); p <= static_cast<int64_t>(std::ceil(x + reach)); ++p) {
      const double w = filter((static_cast<double>(p) - x) * shrink);
      if (w == 0 || (op.exclude_outside && (p < 0 || p >= n))) continue;
      t.push_back({std::clamp<int64_t>(p, 0, n - 1), w});
      total += w;
    }
    if (op.antialias || op.exclude_outside)
      for (Tap& tap : t) tap.weight /= total;
    return t;
  }
};

Axis axis_of(const Resize& op, size_t d, size_t rank, int64_t n, int64_t m) {
  const double scale = !op.scales.empty() ? op.scales[d] : static_cast<double>(m) / static_cast<double>(n);
  if (op.roi.size() != 2 * rank) return {op, n, m, scale};
  return {op, n, m, scale, op.roi[d], op.roi[rank + d]};
}

bool untouched(const Axis& a) { return a.n == a.m && a.scale == 1 && a.roi_start == 0 && a.roi_end == 1; }

}  // namespace

std::vector<std::vector<Resize::Tap>> Resize::taps(size_t d, size_t rank, int64_t n, int64_t m) const {
  const Axis a = axis_of(*this, d, rank, n, m);
  std::vector<std::vector<Tap>> all;
  if (untouched(a)) return all;
  for (int64_t i = 0; i < m; ++i) {
    const double x = a.source(i);
    all.push_back(a.outside(x) ? std::vector<Tap>{} : a.taps(x));
  }
  return all;
}

Result<std::vector<ValueInfo>> Resize::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 1, 4));
  const ValueInfo& x = inputs[0];
  const size_t rank = x.shape.size();
  if (mode != "nearest" && mode != "linear" && mode != "cubic")
    return fail(Code::kUsage, "mode \"" + mode + "\" is not nearest, linear or cubic");
  if (inputs.size() > 1) {
    for (size_t i = 1; i < inputs.size(); ++i)
      if (has(inputs, i) && (inputs[i].rank() != 1 || inputs[i].dtype != (i == 2 ? DType::kI64 : DType::kF32) ||
                             !inputs[i].shape[0].equals((i == 3 ? 2 : 1) * x.rank())))
        return fail(Code::kUsage, "scales, sizes or roi do not fit rank " + std::to_string(rank));
    if (!has(inputs, 1) && !has(inputs, 2)) return fail(Code::kUsage, "there are neither scales nor sizes");
    Shape y;
    for (size_t d = 0; d < rank; ++d) y.push_back(fresh("resize"));
    return one(x.dtype, std::move(y));
  }
  if ((scales.empty() && sizes.empty()) || (!scales.empty() && scales.size() != rank) ||
      (!sizes.empty() && sizes.size() != rank))
    return fail(Code::kUsage, "needs a scale or a size for each of the " + std::to_string(rank) + " dimensions");
  for (const double s : scales)
    if (!(s > 0 && s < 1e6)) return fail(Code::kUsage, "scale " + std::to_string(s) + " is out of range");
  Shape y;
  for (size_t d = 0; d < rank; ++d) {
    if (!sizes.empty()) {
      if (sizes[d] < 0 || sizes[d] > INT32_MAX || (x.shape[d].equals(0) && sizes[d] > 0))
        return fail(Code::kUsage, "size " + std::to_string(sizes[d]) + " is out of range");
      y.emplace_back(sizes[d]);
      continue;
    }
    const auto out = scaled(x.shape[d], scales[d]);
    if (!out)
      return fail(Code::kUnsupported,
                  "scale " + std::to_string(scales[d]) + " of the symbolic dimension " + x.shape[d].str());
    y.push_back(*out);
  }
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Resize::evaluate(std::span<const Tensor> inputs) const {
  if (inputs.size() > 1) {
    Resize known = *this;
    const auto numbers = [](const Tensor& t) {
      std::vector<double> v;
      for (int64_t i = 0; i < t.count(); ++i) v.push_back(t.f64_at(i));
      return v;
    };
    if (has(inputs, 1)) known.scales = numbers(inputs[1]);
    if (has(inputs, 2)) known.sizes = inputs[2].to_i64();
    if (has(inputs, 3)) known.roi = numbers(inputs[3]);
    return known.evaluate(inputs.first(1));
  }
  Tensor x = inputs[0];
  const size_t rank = x.dims().size();
  const ValueInfo info{x.dtype(), to_shape(x.dims()), nullptr, {}};
  LATHE_TRY(const auto out, infer({&info, 1}, {}));
  const auto dims = *static_dims(out[0].shape);
  if (mode == "nearest" && coordinate != "tf_crop_and_resize") {  // moves elements of any type
    std::vector<std::vector<int64_t>> chosen(rank);
    for (size_t d = 0; d < rank; ++d) {
      const Axis a = axis_of(*this, d, rank, x.dims()[d], dims[d]);
      for (int64_t i = 0; i < dims[d]; ++i) chosen[d].push_back(untouched(a) ? i : a.nearest(a.source(i)));
    }
    const auto strides = strides_of(x.dims());
    return one(remap(x, dims, [&](const std::vector<int64_t>& index, int64_t) {
      int64_t at = 0;
      for (size_t d = 0; d < rank; ++d) at += chosen[d][static_cast<size_t>(index[d])] * strides[d];
      return at;
    }));
  }
  // One axis after the other; the filters are separable.
  const DType dtype = x.dtype();
  x = convert(x, DType::kF64);
  for (size_t d = 0; d < rank; ++d) {
    const Axis a = axis_of(*this, d, rank, x.dims()[d], dims[d]);
    if (untouched(a)) continue;
    std::vector<int64_t> next = x.dims();
    next[d] = a.m;
    Tensor y = Tensor::zeros(DType::kF64, next);
    const int64_t inner = count_of(std::span(next).subspan(d + 1)), outer = count_of(std::span(next).first(d));
    for (int64_t i = 0; i < a.m; ++i) {
      const double at = a.source(i);
      const auto taps = a.taps(at);
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t k = 0; k < inner; ++k) {
          double sum = 0;
          for (const auto& t : taps)
            sum += t.weight * x.as<double>()[static_cast<size_t>((o * a.n + t.index) * inner + k)];
          y.mutable_as<double>()[static_cast<size_t>((o * a.m + i) * inner + k)] = a.outside(at) ? extrapolation : sum;
        }
    }
    x = std::move(y);
  }
  return one(convert(x, dtype));
}

double Resize::flops(std::span<const ValueInfo>, std::span<const ValueInfo> outputs) const {
  const auto n = product(outputs[0].shape).as_const();
  return n && mode != "nearest" ? static_cast<double>(*n) * (mode == "linear" ? 8 : 32) : 0;
}

const OpInfo& op_resize() { return op_info<Resize>(); }

}  // namespace lathe::ops
