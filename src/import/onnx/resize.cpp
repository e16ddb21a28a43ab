// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include <cmath>
#include <numeric>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"

namespace lathe::onnx {

namespace {

std::vector<int64_t> all_axes(int64_t rank) {
  std::vector<int64_t> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// Sizes as a factor of each input dimension, if every one is a whole multiple: for symbolic shapes.
std::optional<std::vector<double>> factors(const std::vector<Dim>& sizes, const Shape& input,
                                           const std::vector<int64_t>& axes) {
  std::vector<double> f(input.size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<size_t>(axes[i]);
    const auto whole = floor_div(sizes[i], input[d]).as_const();
    if (!whole || !(input[d] * *whole == sizes[i])) return std::nullopt;
    f[d] = static_cast<double>(*whole);
  }
  return f;
}

// Scales, sizes or roi that the model computes, as inputs of the operator for every dimension.
Result<Values> resize_computed(Node& n, std::shared_ptr<ops::Resize> op, const std::vector<int64_t>& axes,
                               ValueId scales, ValueId sizes, ValueId roi) {
  const int64_t rank = n.rank(0);
  const auto count = static_cast<int64_t>(axes.size());
  for (const auto& [v, each] : {std::pair{scales, 1}, {sizes, 1}, {roi, 2}})
    if (v != kNoId && (n.b.rank(v) != 1 || !n.b.shape(v)[0].equals(each * count)))
      return damaged("scales, sizes or roi have the wrong length");
  const ValueId which = n.b.i64s(axes);
  const bool all = count == rank && axes == all_axes(rank);
  const auto ones = [&](double v) { return n.b.expand(n.b.scalar(DType::kF32, v), {rank}); };
  if (scales != kNoId) scales = n.b.cast(scales, DType::kF32);
  if (sizes != kNoId) {
    sizes = n.b.cast(sizes, DType::kI64);
    const std::string policy = n.s("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch") {
      // One scale for all axes: the least or the greatest that was asked for.
      const ValueId have = n.b.cast(n.b.op("Gather", {shape_of(n, n.in(0)), which}), DType::kF32);
      const ValueId ratio = n.b.op("Div", {n.b.cast(sizes, DType::kF32), have});
      const ValueId scale = n.b.reduce(policy == "not_larger" ? "min" : "max", ratio, {0}, true);
      scales = n.b.op("Mul", {scale, n.b.expand(n.b.scalar(DType::kF32, 1), {count})});
      const ValueId half = n.b.op("Add", {n.b.op("Mul", {scale, have}), n.b.scalar(DType::kF32, 0.5)});
      sizes = n.b.cast(n.b.op("Floor", {half}), DType::kI64);
    }
    if (!all) sizes = spread(n, which, sizes, shape_of(n, n.in(0)));
  }
  if (scales != kNoId && !all) scales = spread(n, which, scales, ones(1));
  if (roi != kNoId) {
    roi = n.b.cast(roi, DType::kF32);
    std::vector<int64_t> both = axes;
    for (const int64_t a : axes) both.push_back(a + rank);
    if (!all) roi = spread(n, n.b.i64s(both), roi, n.b.concat({ones(0), ones(1)}, 0));
  }
  Values inputs = {n.in(0), scales, sizes, roi};
  while (inputs.back() == kNoId) inputs.pop_back();
  op->roi.clear();
  return n.done(n.b.add(std::move(op), std::move(inputs)));
}

}  // namespace

Result<Values> resize(Node& n) {
  const Shape s = n.shape(0);
  auto op = std::make_shared<ops::Resize>();
  op->mode = n.s("mode", "nearest");
  // Opset 10 had no coordinate modes: it was asymmetric with floor.
  op->coordinate = n.opset() < 11 ? "asymmetric" : n.s("coordinate_transformation_mode", "half_pixel");
  op->nearest_mode = n.opset() < 11 ? "floor" : n.s("nearest_mode", "round_prefer_floor");
  op->cubic_coeff_a = n.f("cubic_coeff_a", -0.75);
  op->exclude_outside = n.i("exclude_outside", 0) != 0;
  op->extrapolation = n.f("extrapolation_value", 0);
  op->antialias = n.i("antialias", 0) != 0;
  auto axes = n.ints("axes").value_or(all_axes(n.rank(0)));
  for (int64_t& a : axes) {
    LATHE_TRY(a, Node::axis(a, n.rank(0)));
  }
  const size_t scales_at = n.opset() < 11 ? 1 : 2, count = axes.size();
  // An empty tensor stands for an absent input in opset 11.
  const auto given = [&](size_t i) { return n.has(i) && !product(n.shape(i)).equals(0); };
  const bool crop = n.opset() >= 11 && op->coordinate == "tf_crop_and_resize";
  const bool by_size = n.opset() >= 11 && !given(scales_at) && given(3);
  const bool size_known = by_size && content_of(n.b.info(n.in(3)));
  if ((given(scales_at) && !n.constant(scales_at)) || (by_size && !size_known) || (crop && !n.constant(1)))
    return resize_computed(n, std::move(op), axes, given(scales_at) ? n.in(scales_at) : kNoId,
                           by_size ? n.in(3) : kNoId, crop ? n.in(1) : kNoId);
  if (n.opset() >= 11 && op->coordinate == "tf_crop_and_resize") {
    LATHE_TRY(const auto roi, n.numbers(1, "roi"));
    if (roi.size() != 2 * count) return damaged("roi has the wrong length");
    op->roi.assign(2 * s.size(), 0);
    std::fill(op->roi.begin() + static_cast<ptrdiff_t>(s.size()), op->roi.end(), 1.0);
    for (size_t i = 0; i < count; ++i) {
      op->roi[static_cast<size_t>(axes[i])] = roi[i];
      op->roi[s.size() + static_cast<size_t>(axes[i])] = roi[count + i];
    }
  }
  if (given(scales_at)) {
    LATHE_TRY(const auto scales, n.numbers(scales_at, "scales"));
    if (scales.size() != count) return damaged("scales has the wrong length");
    op->scales.assign(s.size(), 1);
    for (size_t i = 0; i < count; ++i) op->scales[static_cast<size_t>(axes[i])] = scales[i];
  } else if (n.opset() >= 11 && given(3)) {
    const auto sizes = content_of(n.b.info(n.in(3)));
    if (!sizes) return unsupported("sizes must be computable from the inputs' shapes");
    if (sizes->size() != count) return damaged("sizes has the wrong length");
    const auto known = static_dims(*sizes);
    const auto dims = static_dims(s);
    const std::string policy = n.s("keep_aspect_ratio_policy", "stretch");
    if (known && dims) {
      op->sizes = *dims;
      for (size_t i = 0; i < count; ++i) op->sizes[static_cast<size_t>(axes[i])] = (*known)[i];
      if (policy != "stretch") {
        double scale = policy == "not_larger" ? INFINITY : 0;
        for (size_t i = 0; i < count; ++i) {
          const double f =
              static_cast<double>((*known)[i]) / static_cast<double>((*dims)[static_cast<size_t>(axes[i])]);
          scale = policy == "not_larger" ? std::min(scale, f) : std::max(scale, f);
        }
        op->scales.assign(s.size(), 1);
        for (size_t i = 0; i < count; ++i) {
          const auto d = static_cast<size_t>(axes[i]);
          op->scales[d] = scale;
          const double size = std::floor(scale * static_cast<double>((*dims)[d]) + 0.5);
          if (!(size >= 0 && size < 0x1p31)) return damaged("sizes are out of range");
          op->sizes[d] = static_cast<int64_t>(size);
        }
      }
    } else if (const auto f = policy == "stretch" ? factors(*sizes, s, axes) : std::nullopt) {
      op->scales = *f;
    } else {
      return unsupported("resizing " + shape_str(s) + " to " + shape_str(*sizes) +
                         " needs known sizes; give them with --shape");
    }
  } else {
    return damaged("there are neither scales nor sizes");
  }
  return n.done(n.b.add(std::move(op), {n.in(0)}));
}

// Upsample-9 (scales are an input) and 7 (an attribute): asymmetric, nearest is floor.
Result<Values> upsample(Node& n) {
  auto op = std::make_shared<ops::Resize>();
  op->mode = n.s("mode", "nearest");
  op->coordinate = "asymmetric";
  op->nearest_mode = "floor";
  if (n.has(1) && !n.constant(1)) return resize_computed(n, std::move(op), all_axes(n.rank(0)), n.in(1), kNoId, kNoId);
  if (n.has(1)) {
    LATHE_TRY(op->scales, n.numbers(1, "scales"));
  } else {
    op->scales = n.floats("scales");
  }
  if (op->scales.size() != n.shape(0).size()) return damaged("scales has the wrong length");
  return n.done(n.b.add(std::move(op), {n.in(0)}));
}

}  // namespace lathe::onnx
