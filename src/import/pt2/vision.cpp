// SPDX-License-Identifier: Apache-2.0
// Operators of torchvision, and those that read images at places that are data.
#include "ops/gather.h"
#include "ops/grid_sample.h"
#include "ops/matmul.h"
#include "ops/non_max_suppression.h"
#include "ops/roi_align.h"

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

// torchvision.nms: boxes as corners, the kept ones by falling score.
Result<Values> nms(Node& n) {
  const ValueId boxes = n.tensor("dets"), scores = n.tensor("scores");
  const double threshold = n.f("iou_threshold", 0.5);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(boxes);
  if (s.size() != 2 || n.b.rank(scores) != 1) return damaged("boxes must be a matrix and scores a vector");
  const ValueId kept = n.b.make<ops::NonMaxSuppression>(
      {n.b.reshape(boxes, {1, s[0], s[1]}), n.b.reshape(scores, {1, 1, n.b.shape(scores)[0]}), n.b.dim_value(s[0]),
       n.b.constant(Tensor::scalar_f32(static_cast<float>(threshold)))},
      [](ops::NonMaxSuppression&) {});
  if (!n.b.ok()) return n.done(kNoId);
  return n.done(n.b.reshape(n.b.slice(kept, 1, 2, 3), {n.b.shape(kept)[0]}));
}

// torchvision.roi_align: rows of `rois` are the image's number and two corners.
Result<Values> roi_align(Node& n) {
  const ValueId x = n.tensor("input"), rois = n.tensor("rois");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(rois);
  if (n.b.rank(x) != 4 || s.size() != 2 || !s[1].equals(5)) return damaged("rois must be a matrix with five columns");
  const ValueId image = n.b.reshape(n.b.cast(n.b.slice(rois, 1, 0, 1), DType::kI64), {s[0]});
  const int64_t samples = n.i("sampling_ratio", -1);
  return n.done(
      n.b.make<ops::RoiAlign>({x, n.b.cast(n.b.slice(rois, 1, 1, 5), n.b.dtype(x)), image}, [&](ops::RoiAlign& o) {
        o.height = n.i("pooled_height", 1);
        o.width = n.i("pooled_width", 1);
        o.samples = std::max<int64_t>(samples, 0);
        o.scale = n.f("spatial_scale", 1);
        o.half_pixel = n.flag("aligned", false);
      }));
}

// grid_sampler, grid_sampler_2d, grid_sampler_3d: modes by number.
Result<Values> grid_sample(Node& n) {
  const ValueId x = n.tensor("input"), grid = n.tensor("grid");
  const int64_t mode = n.i("interpolation_mode", 0), padding = n.i("padding_mode", 0);
  if (!n.b.ok()) return n.done(kNoId);
  static constexpr const char* kModes[] = {"linear", "nearest", "cubic"};
  static constexpr const char* kPaddings[] = {"zeros", "border", "reflection"};
  if (mode < 0 || mode > 2 || padding < 0 || padding > 2) return damaged("a mode is out of range");
  // torch lets the four neighbours be border elements, ONNX the place itself be on the border.
  if (mode == 2 && padding == 1) return unsupported("bicubic sampling with border padding is not supported");
  return n.done(n.b.make<ops::GridSample>({x, n.b.cast(grid, n.b.dtype(x))}, [&](ops::GridSample& g) {
    g.mode = kModes[mode];
    g.padding = kPaddings[padding];
    g.align_corners = n.flag("align_corners", false);
  }));
}

// theta [N, d, d + 1] applied to the places of a regular grid of `size` [N, C, spatial…].
Result<Values> affine_grid(Node& n) {
  const ValueId theta = n.tensor("theta");
  const auto size = n.ints("size");
  const bool corners = n.flag("align_corners", false);
  if (!n.b.ok()) return n.done(kNoId);
  const size_t d = size.size() < 2 ? 0 : size.size() - 2;
  if (d < 2 || d > 3 || n.b.rank(theta) != 3) return damaged("size and theta do not fit");
  int64_t places = 1;
  for (const int64_t s : size)
    if (s < 1 || __builtin_mul_overflow(places, s, &places) || places > int64_t{1} << 28)
      return unsupported("the size is out of range");
  places = places / size[0] / size[1];
  const DType t = n.b.dtype(theta);
  Tensor grid = Tensor::zeros(t, {places, static_cast<int64_t>(d) + 1});
  for (int64_t p = 0; p < places; ++p) {
    int64_t rest = p;
    for (size_t k = 0; k < d; ++k) {  // x is the last dimension
      const auto length = size[size.size() - 1 - k];
      const auto at = static_cast<double>(rest % length), count = static_cast<double>(length);
      rest /= length;
      const double v = corners ? (length > 1 ? at * 2 / (count - 1) - 1 : 0) : (at * 2 + 1) / count - 1;
      grid.set(p * (static_cast<int64_t>(d) + 1) + static_cast<int64_t>(k), v);
    }
    grid.set((p + 1) * (static_cast<int64_t>(d) + 1) - 1, 1);
  }
  const ValueId y =
      n.b.make<ops::MatMul>({n.b.constant(std::move(grid)), theta}, [](ops::MatMul& m) { m.trans_b = true; });
  Shape s = {size[0]};
  for (size_t k = 0; k < d; ++k) s.emplace_back(size[2 + k]);
  s.emplace_back(static_cast<int64_t>(d));
  return n.done(n.b.ok() ? n.b.reshape(y, s) : kNoId);
}

}  // namespace lathe::pt2
