// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include <cmath>
#include <numeric>

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
  if (n.has(1)) {
    LATHE_TRY(op->scales, n.numbers(1, "scales"));
  } else {
    op->scales = n.floats("scales");
  }
  if (op->scales.size() != n.shape(0).size()) return damaged("scales has the wrong length");
  return n.done(n.b.add(std::move(op), {n.in(0)}));
}

}  // namespace lathe::onnx
