// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include "import/tensorflow/handlers.h"

namespace lathe::tensorflow {

// x [N, h, w, C] and the two new sizes.
Result<Items> resize(Node& n) {
  LATHE_CHECK(n.needs(2));
  if (n.rank(0) != 4) return unsupported("takes a tensor of rank 4");
  LATHE_TRY(const auto sizes, n.sizes(1, "the new size"));
  if (sizes.size() != 2) return damaged("the new size must be two numbers");
  const Shape s = n.shape(0);
  const bool corners = n.flag("align_corners"), centres = n.flag("half_pixel_centers");
  auto op = std::make_shared<ops::Resize>();
  op->mode = n.canonical();
  op->coordinate = corners ? "align_corners" : centres ? "half_pixel" : "asymmetric";
  // floor((i + 0.5) * scale) is what "half_pixel" rounds up to at ties; aligned corners round.
  op->nearest_mode = corners || centres ? "round_prefer_ceil" : "floor";
  if (op->mode == "cubic") {
    op->cubic_coeff_a = centres ? -0.5 : -0.75;
    op->exclude_outside = centres;
  }
  op->sizes.clear();
  op->scales.assign(4, 1);
  bool known = true, multiple = true;
  for (size_t d = 0; d < 2; ++d) {
    const Dim& from = s[1 + d];
    known = known && sizes[d].is_const() && from.is_const();
    const auto whole = floor_div(sizes[d], from).as_const();
    multiple = multiple && whole && from * *whole == sizes[d];
    if (whole) op->scales[1 + d] = static_cast<double>(*whole);
  }
  const ValueId x = n.b.cast(n.in(0), op->mode == "nearest" ? n.dtype(0) : DType::kF32);
  if (known) {
    // Sizes of all dimensions: the batch may be symbolic, so it is folded into one that is not resized.
    for (size_t d = 0; d < 2; ++d)
      if (sizes[d].value() < 1) return damaged("the new size must be positive");
    if (!s[0].is_const() || !s[3].is_const()) {
      for (size_t d = 0; d < 2; ++d)
        op->scales[1 + d] = static_cast<double>(sizes[d].value()) / static_cast<double>(s[1 + d].value());
      // floor(size * scale) must give the size again.
      for (size_t d = 0; d < 2; ++d)
        if (static_cast<int64_t>(static_cast<double>(s[1 + d].value()) * op->scales[1 + d]) != sizes[d].value())
          op->scales[1 + d] = (static_cast<double>(sizes[d].value()) + 1e-6) / static_cast<double>(s[1 + d].value());
    } else {
      op->scales.clear();
      op->sizes = {s[0].value(), sizes[0].value(), sizes[1].value(), s[3].value()};
    }
  } else if (!multiple) {
    return unsupported("resizing " + shape_str(s) + " to " + shape_str(sizes) +
                       " needs known sizes; give them with --shape");
  }
  return n.done(n.b.add(std::move(op), {x}));
}

}  // namespace lathe::tensorflow
