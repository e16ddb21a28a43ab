// SPDX-License-Identifier: Apache-2.0
#include "ops/resize.h"

#include <cmath>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

// upsample_nearest / bilinear / bicubic / linear, and with antialias. Either sizes are given or factors; factors are
// used for the positions as they are.
Result<Values> resize(Node& n) {
  const char* input = n.has("self") ? "self" : "input";
  const ValueId x = n.tensor(input);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (s.size() < 3) return damaged("the input has no spatial dimension");
  const size_t dims = s.size() - 2;
  auto op = std::make_shared<ops::Resize>();
  const std::string_view name = n.op();
  op->mode = n.canonical() == "exact" ? "nearest" : n.canonical();
  op->antialias = name.ends_with("_aa");
  if (op->mode == "nearest") {
    op->coordinate = n.canonical() == "exact" ? "half_pixel" : "asymmetric";
    op->nearest_mode = n.canonical() == "exact" ? "round_prefer_ceil" : "floor";
  } else {
    op->coordinate = n.flag("align_corners", false) ? "align_corners" : "half_pixel";
  }
  op->cubic_coeff_a = op->antialias ? -0.5 : -0.75;
  op->exclude_outside = op->antialias;
  std::vector<double> factors = n.floats("scale_factors");
  if (factors.empty())  // of the overload without lists: one argument a dimension
    for (const char* scale :
         dims == 1 ? std::vector<const char*>{"scales"} : std::vector<const char*>{"scales_h", "scales_w"})
      if (n.has(scale)) factors.push_back(n.f(scale, 1));
  if (factors.size() != dims) factors.clear();
  Shape sizes;
  if (n.has("output_size")) sizes = n.dims("output_size");
  if (!n.b.ok()) return n.done(kNoId);
  if (sizes.empty() && factors.empty()) return damaged("there are neither sizes nor factors");
  if (!sizes.empty() && sizes.size() != dims) return damaged("output_size has the wrong length");
  for (const double f : factors)
    if (!(f > 0 && f < 1e6)) return damaged("a factor is out of range");
  const auto known = static_dims(s), wanted = static_dims(sizes);
  if (known) {
    op->sizes = *known;
    op->scales.assign(s.size(), 1);
    for (size_t d = 0; d < dims; ++d) {
      const double in = static_cast<double>((*known)[2 + d]);
      if (sizes.empty()) {
        op->sizes[2 + d] = static_cast<int64_t>(std::floor(in * factors[d]));
      } else {
        if (!wanted) return unsupported("the sizes must be known");
        op->sizes[2 + d] = (*wanted)[d];
      }
      if (op->sizes[2 + d] < 1 || op->sizes[2 + d] > int64_t{1} << 24) return damaged("a size is out of range");
      op->scales[2 + d] = factors.empty() ? static_cast<double>(op->sizes[2 + d]) / in : factors[d];
    }
    // Coordinates of aligned corners need the ratio of the sizes themselves.
    if (op->coordinate == "align_corners") op->scales.clear();
    return n.done(n.b.add(std::move(op), {x}));
  }
  // Symbolic sizes: whole factors.
  op->scales.assign(s.size(), 1);
  for (size_t d = 0; d < dims; ++d) {
    if (!factors.empty()) {
      op->scales[2 + d] = factors[d];
      continue;
    }
    if (sizes[d] == s[2 + d]) continue;
    const auto whole = floor_div(sizes[d], s[2 + d]).as_const();
    if (s[2 + d].is_const() && sizes[d].is_const())
      op->scales[2 + d] = static_cast<double>(sizes[d].value()) / static_cast<double>(s[2 + d].value());
    else if (whole && s[2 + d] * *whole == sizes[d])
      op->scales[2 + d] = static_cast<double>(*whole);
    else
      return unsupported("resizing " + shape_str(s) + " to " + shape_str(sizes) +
                         " needs known sizes; give them with "
                         "--shape");
  }
  return n.done(n.b.add(std::move(op), {x}));
}

}  // namespace lathe::pt2
