// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include <cmath>

#include "import/tflite/handlers.h"

namespace lathe::tflite {

// Inputs: x [N, h, w, C], sizes [2]. The row's name is the mode.
Result<Values> resize(Node& n) {
  const Shape x = n.shape(0);
  if (x.size() != 4) return damaged("the input must have rank 4");
  LATHE_TRY(const auto sizes, n.integers(1, "the size"));
  if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1) return damaged("the size must be two positive numbers");
  bool corners = false, centers = false;
  if (const auto* o = n.options<fb::ResizeBilinearOptions>()) {
    corners = o->align_corners();
    centers = o->half_pixel_centers();
  } else if (const auto* p = n.options<fb::ResizeNearestNeighborOptions>()) {
    corners = p->align_corners();
    centers = p->half_pixel_centers();
  }
  auto op = std::make_shared<ops::Resize>();
  op->mode = n.canonical();
  op->coordinate = corners ? "align_corners" : centers ? "half_pixel" : "asymmetric";
  op->nearest_mode = corners || centers ? "round_prefer_ceil" : "floor";
  const auto dims = static_dims({x[1], x[2]});
  if (!dims) return unsupported("resizing needs a known size; give it with --shape");
  if (const auto all = static_dims(x)) {
    op->sizes = {(*all)[0], sizes[0], sizes[1], (*all)[3]};
  } else {  // the batch is open: by scales, which must give back the sizes
    op->scales = {1, 1, 1, 1};
    for (size_t d = 0; d < 2; ++d) {
      const double scale = static_cast<double>(sizes[d]) / static_cast<double>((*dims)[d]);
      if (std::floor(static_cast<float>((*dims)[d]) * static_cast<float>(scale)) != static_cast<float>(sizes[d]))
        return unsupported("resizing an open batch by this factor is not supported; give its size with --shape");
      op->scales[d + 1] = scale;
    }
  }
  return n.done(n.b.add(std::move(op), {n.in(0)}));
}

}  // namespace lathe::tflite
