// SPDX-License-Identifier: Apache-2.0
// Convolutions and pools. ONNX has channels second, the canonical operators have them last: each is wrapped in
// transposes, which the layout pass cancels. One spatial dimension is lifted to two (height 1).
#include "ops/conv.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/arg_reduce.h"
#include "ops/conv_transpose.h"
#include "ops/gather.h"
#include "ops/pool.h"

namespace lathe::onnx {

std::vector<int64_t> last_perm(int64_t rank) {
  std::vector<int64_t> p = {0};
  for (int64_t d = 2; d < rank; ++d) p.push_back(d);
  p.push_back(1);
  return p;
}

std::vector<int64_t> first_perm(int64_t rank) {
  std::vector<int64_t> p = {0, rank - 1};
  for (int64_t d = 1; d < rank - 1; ++d) p.push_back(d);
  return p;
}

namespace {

Shape with_height(const Shape& s) { return {s[0], 1, s[1], s[2]}; }

// [N, C, spatial…] → [N, spatial…, C], two spatial dimensions at least.
ValueId to_channels_last(Node& n, ValueId x) {
  const ValueId y = n.b.transpose(x, last_perm(n.b.rank(x)));
  return n.b.ok() && n.b.rank(y) == 3 ? n.b.reshape(y, with_height(n.b.shape(y))) : y;
}

ValueId to_channels_first(Node& n, ValueId y, int64_t rank) {
  if (!n.b.ok()) return kNoId;
  if (rank == 3) {
    const Shape s = n.b.shape(y);
    y = n.b.reshape(y, {s[0], s[2], s[3]});
  }
  return n.b.transpose(y, first_perm(rank));
}

struct Geometry {
  std::vector<int64_t> kernel, strides, pads, dilations;
  size_t dims() const { return kernel.size(); }
  void lift() {
    if (kernel.size() != 1) return;
    kernel.insert(kernel.begin(), 1);
    strides.insert(strides.begin(), 1);
    dilations.insert(dilations.begin(), 1);
    pads = {0, pads[0], 0, pads[1]};
  }
};

constexpr int64_t kMost = int64_t{1} << 31;

// Attributes with their defaults, checked for length and range. `spatial` are the input's spatial dimensions.
// `pads` are in place of the attribute.
Result<Geometry> geometry(const Node& n, std::vector<int64_t> kernel, const Shape& spatial,
                          const std::optional<std::vector<int64_t>>& pads = {}) {
  const size_t dims = spatial.size();
  Geometry g;
  g.kernel = std::move(kernel);
  g.strides = n.ints("strides").value_or(std::vector<int64_t>(dims, 1));
  g.dilations = n.ints("dilations").value_or(std::vector<int64_t>(dims, 1));
  g.pads = pads ? *pads : n.ints("pads").value_or(std::vector<int64_t>(2 * dims, 0));
  if (g.strides.empty()) g.strides.assign(dims, 1);
  if (g.dilations.empty()) g.dilations.assign(dims, 1);
  if (g.pads.empty()) g.pads.assign(2 * dims, 0);
  const auto positive = [](int64_t v) { return v > 0 && v < kMost; };
  const auto small = [](int64_t v) { return v > -kMost && v < kMost; };
  if (dims == 0 || g.kernel.size() != dims || g.strides.size() != dims || g.dilations.size() != dims ||
      g.pads.size() != 2 * dims)
    return damaged("kernel_shape, strides, dilations or pads do not fit " + std::to_string(dims) +
                   " spatial dimensions");
  if (!std::ranges::all_of(g.kernel, positive) || !std::ranges::all_of(g.strides, positive) ||
      !std::ranges::all_of(g.dilations, positive) || !std::ranges::all_of(g.pads, small))
    return damaged("kernel_shape, strides and dilations must be positive, and pads below 2^31");
  return g;
}

// Resolves auto_pad: SAME gives ceil(input / stride) outputs.
Status auto_pad(const Node& n, Geometry& g, const Shape& spatial) {
  const std::string mode = n.s("auto_pad", "NOTSET");
  if (mode == "NOTSET" || mode.empty()) return {};
  if (mode == "VALID") {
    std::ranges::fill(g.pads, 0);
    return {};
  }
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") return damaged("auto_pad \"" + mode + "\" is not known");
  for (size_t d = 0; d < g.dims(); ++d) {
    const int64_t reach = (g.kernel[d] - 1) * g.dilations[d] + 1;
    int64_t total = reach - g.strides[d];  // where the stride divides the size
    if (const auto size = spatial[d].as_const())
      total = ((*size + g.strides[d] - 1) / g.strides[d] - 1) * g.strides[d] + reach - *size;
    else if (g.strides[d] != 1)
      return unsupported("auto_pad " + mode + " with a stride needs known sizes, but the input's dimension is " +
                         spatial[d].str() + "; give them with --shape");
    total = std::max<int64_t>(total, 0);
    const int64_t less = total / 2, more = total - less;
    g.pads[d] = mode == "SAME_UPPER" ? less : more;
    g.pads[g.dims() + d] = mode == "SAME_UPPER" ? more : less;
  }
  return {};
}

Shape spatial_of(const Shape& s) { return {s.begin() + 2, s.end()}; }

Result<std::vector<int64_t>> kernel_of(const Node& n) {
  const Shape w = n.shape(1);
  if (w.size() != n.shape(0).size() || w.size() < 3)
    return damaged("input " + shape_str(n.shape(0)) + " and weight " + shape_str(w) +
                   " must have the same rank, 3 at least");
  const auto kernel = static_dims(spatial_of(w));
  if (!kernel) return unsupported("the kernel size of weight " + shape_str(w) + " is not constant");
  if (const auto given = n.ints("kernel_shape"); given && !given->empty() && *given != *kernel)
    return damaged("kernel_shape does not agree with the weight " + shape_str(w));
  return *kernel;
}

}  // namespace

Result<Values> conv(Node& n) {
  LATHE_TRY(auto kernel, kernel_of(n));
  const Shape spatial = spatial_of(n.shape(0));
  LATHE_TRY(Geometry g, geometry(n, std::move(kernel), spatial));
  LATHE_CHECK(auto_pad(n, g, spatial));
  g.lift();
  Values inputs = {to_channels_last(n, n.in(0)), to_channels_last(n, n.in(1))};
  if (n.has(2)) inputs.push_back(n.in(2));
  const ValueId y = n.b.make<ops::Conv>(std::move(inputs), [&](ops::Conv& c) {
    c.strides = g.strides;
    c.pads = g.pads;
    c.dilations = g.dilations;
    c.group = n.i("group", 1);
  });
  return n.done(to_channels_first(n, y, n.rank(0)));
}

Result<ValueId> depthwise(Node n, int64_t channels) {
  Values inputs = {to_channels_last(n, n.in(0)), to_channels_last(n, n.in(1))};
  if (n.has(2)) inputs.push_back(n.in(2));
  const ValueId y = n.b.make<ops::Conv>(std::move(inputs), [&](ops::Conv& c) { c.group = channels; });
  return to_channels_first(n, y, n.rank(0));
}

Result<Values> conv_transpose(Node& n) { return conv_transpose_padded(n, std::nullopt); }

Result<Values> conv_transpose_padded(Node& n, const std::optional<std::vector<int64_t>>& pads) {
  LATHE_TRY(auto kernel, kernel_of(n));
  const Shape spatial = spatial_of(n.shape(0));
  LATHE_TRY(Geometry g, geometry(n, std::move(kernel), spatial, pads));
  const size_t dims = g.dims();
  auto extra = n.ints("output_padding").value_or(std::vector<int64_t>(dims, 0));
  if (extra.empty()) extra.assign(dims, 0);
  if (extra.size() != dims || !std::ranges::all_of(extra, [](int64_t v) { return v >= 0 && v < kMost; }))
    return damaged("output_padding does not fit");
  const std::string mode = n.s("auto_pad", "NOTSET");
  const auto wanted = n.ints("output_shape");
  if (mode == "VALID") std::ranges::fill(g.pads, 0);
  if (wanted || mode.starts_with("SAME"))
    for (size_t d = 0; d < dims; ++d) {
      const int64_t reach = (g.kernel[d] - 1) * g.dilations[d] + 1;
      int64_t total = reach + extra[d] - g.strides[d];
      if (wanted) {
        const auto size = spatial[d].as_const();
        if (wanted->size() < dims) return damaged("output_shape is too short");
        if (!size)
          return unsupported("output_shape needs known sizes, but the input's dimension is " + spatial[d].str());
        total = g.strides[d] * (*size - 1) + extra[d] + reach - (*wanted)[wanted->size() - dims + d];
        if (total < 0) {  // the rest of the output is out of reach: zeros
          extra[d] -= total;
          total = 0;
        }
      }
      total = std::max<int64_t>(total, 0);
      const int64_t less = total / 2, more = total - less;
      g.pads[d] = mode == "SAME_UPPER" ? less : more;
      g.pads[dims + d] = mode == "SAME_UPPER" ? more : less;
    }
  g.lift();
  if (dims == 1) extra.insert(extra.begin(), 0);
  // [C, M/group, k…] → [group, C/group, M/group, k…] → [group, M/group, k…, C/group] → [M, k…, C/group]
  const auto w = static_dims(n.shape(1));
  const int64_t group = n.i("group", 1);
  if (!w) return unsupported("the weight's shape " + shape_str(n.shape(1)) + " is not constant");
  if (group < 1 || (*w)[0] % group != 0)
    return damaged("group " + std::to_string(group) + " does not divide " + std::to_string((*w)[0]) + " channels");
  Shape split = {group, (*w)[0] / group}, merged = {group * (*w)[1]};
  std::vector<int64_t> perm = {0, 2};
  for (size_t d = 1; d < w->size(); ++d) split.emplace_back((*w)[d]);
  for (size_t d = 0; d < dims; ++d) perm.push_back(static_cast<int64_t>(d) + 3);
  perm.push_back(1);
  for (const int64_t k : g.kernel) merged.emplace_back(k);
  merged.emplace_back((*w)[0] / group);
  Values inputs = {to_channels_last(n, n.in(0)), n.b.reshape(n.b.transpose(n.b.reshape(n.in(1), split), perm), merged)};
  if (n.has(2)) inputs.push_back(n.in(2));
  const ValueId y = n.b.make<ops::ConvTranspose>(std::move(inputs), [&](ops::ConvTranspose& c) {
    c.strides = g.strides;
    c.pads = g.pads;
    c.dilations = g.dilations;
    c.output_padding = extra;
    c.group = group;
  });
  return n.done(to_channels_first(n, y, n.rank(0)));
}

namespace {

// Windows over more than two dimensions: one dimension after the other. A maximum of maxima is the maximum, and as the
// windows that hang over an edge are the same for all positions of the other dimensions, so it is with means.
ValueId pool_by_dimension(Node& n, ValueId x, const Geometry& g, std::string_view kind, bool count_include_pad) {
  for (size_t d = 0; d < g.dims() && n.b.ok(); ++d) {
    const Shape s = n.b.shape(x);
    const Dim before = product(Shape(s.begin(), s.begin() + static_cast<std::ptrdiff_t>(d) + 2)),
              after = product(Shape(s.begin() + static_cast<std::ptrdiff_t>(d) + 3, s.end()));
    const ValueId y = n.b.make<ops::Pool>({n.b.reshape(x, {before, 1, s[d + 2], after})}, [&](ops::Pool& p) {
      p.kind = kind;
      p.kernel = {1, g.kernel[d]};
      p.strides = {1, g.strides[d]};
      p.pads = {0, g.pads[d], 0, g.pads[g.dims() + d]};
      p.dilations = {1, g.dilations[d]};
      p.ceil_mode = n.i("ceil_mode", 0) != 0;
      p.count_include_pad = count_include_pad;
    });
    if (!n.b.ok()) return kNoId;
    Shape next = s;
    next[d + 2] = n.b.shape(y)[2];
    x = n.b.reshape(y, next);
  }
  return x;
}

}  // namespace

namespace {

// Which element of x each maximum `y` of a window is, counted over the whole of x: the windows' elements side by side,
// and the place of the largest. Its own index is then looked up.
Result<ValueId> pooled_indices(Node& n, ValueId y, const Geometry& g) {
  const Shape s = n.shape(0), pooled = n.b.shape(y);
  const auto in = static_dims(spatial_of(s)), out = static_dims(spatial_of(pooled));
  if (!in || !out) return unsupported("Indices needs known sizes, not " + shape_str(s) + "; give them with --shape");
  int64_t size = 1, windows = 1, elements = 1;
  for (size_t d = 0; d < in->size(); ++d) {
    size *= (*in)[d];
    windows *= (*out)[d];
    elements *= g.kernel[d];
  }
  if (windows > (int64_t{1} << 27) / elements || size == 0) return unsupported("Indices of so large windows");
  const auto count = static_cast<size_t>(windows * elements);
  std::vector<int64_t> places, shown;
  Tensor inside = Tensor::zeros(DType::kBool, {windows, elements});
  const bool columns_first = n.i("storage_order", 0) != 0;
  bool all_inside = true;
  for (int64_t w = 0; w < windows; ++w)
    for (int64_t e = 0; e < elements; ++e) {
      int64_t place = 0, index = 0, row_stride = 1, column_stride = size, at_window = w, at_element = e;
      bool valid = true;
      for (size_t d = in->size(); d-- > 0;) {
        const int64_t c = at_window % (*out)[d] * g.strides[d] - g.pads[d] + at_element % g.kernel[d] * g.dilations[d];
        at_window /= (*out)[d];
        at_element /= g.kernel[d];
        valid = valid && c >= 0 && c < (*in)[d];
        place += c * row_stride;
        row_stride *= (*in)[d];
        column_stride /= (*in)[d];
        index += c * column_stride;
      }
      places.push_back(valid ? place : 0);
      shown.push_back(!valid ? 0 : columns_first ? index : place);
      inside.set_i64(w * elements + e, valid);
      all_inside = all_inside && valid;
    }
  if (places.size() != count) return damaged("the windows do not fit");
  const Dim planes = s[0] * s[1];
  const ValueId plane = n.b.reshape(n.in(0), {planes, size});
  ValueId values =
      n.b.make<ops::Gather>({plane, n.b.constant(Tensor::vector_i64(places).reshaped({windows, elements}))},
                            [](ops::Gather& o) { o.axis = 1; });
  const DType t = n.dtype(0);
  const ValueId lowest = n.b.scalar(t, dtype_info(t).is_float ? -std::numeric_limits<double>::infinity() : -0x1p62);
  if (!all_inside) values = n.b.op("Where", {n.b.constant(std::move(inside)), values, lowest});
  const ValueId best = n.b.make<ops::ArgReduce>({values}, [](ops::ArgReduce& a) {
    a.axis = 2;
    a.keepdims = false;
  });
  const ValueId first = n.b.op("Mul", {n.b.iota(windows, {}), n.b.i64(elements)});
  const ValueId index =
      n.b.make<ops::Gather>({n.b.i64s(shown), n.b.op("Add", {best, first})}, [](ops::Gather& o) { o.axis = 0; });
  const ValueId base = n.b.op("Mul", {n.b.reshape(n.b.iota(planes, {n.in(0)}), {planes, 1}), n.b.i64(size)});
  return n.b.reshape(n.b.op("Add", {index, base}), pooled);
}

}  // namespace

Result<Values> pool(Node& n) {
  if (n.rank(0) < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  const Shape spatial = spatial_of(n.shape(0));
  LATHE_TRY(Geometry g, geometry(n, n.ints("kernel_shape").value_or(std::vector<int64_t>{}), spatial));
  LATHE_CHECK(auto_pad(n, g, spatial));
  const Geometry given = g;
  ValueId y = kNoId;
  if (g.dims() > 2) {
    y = pool_by_dimension(n, n.in(0), g, n.canonical(), n.i("count_include_pad", 0) != 0);
  } else {
    g.lift();
    y = n.b.make<ops::Pool>({to_channels_last(n, n.in(0))}, [&](ops::Pool& p) {
      p.kind = n.canonical();
      p.kernel = g.kernel;
      p.strides = g.strides;
      p.pads = g.pads;
      p.dilations = g.dilations;
      p.ceil_mode = n.i("ceil_mode", 0) != 0;
      p.count_include_pad = n.i("count_include_pad", 0) != 0;
    });
    y = to_channels_first(n, y, n.rank(0));
  }
  if (!n.wants(1) || !n.b.ok()) return n.done(y);
  if (n.canonical() != "max") return damaged("only MaxPool has a second output");
  LATHE_TRY(const ValueId indices, pooled_indices(n, y, given));
  return n.done({y, indices});
}

// (sum of |x|^p over the window) ^ (1/p): an average over the padded window, times its size.
Result<Values> lp_pool(Node& n) {
  if (n.i("ceil_mode", 0) != 0) return unsupported("ceil_mode is not supported");
  if (n.rank(0) < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  const DType t = n.dtype(0);
  const auto p = static_cast<double>(n.i("p", 2));
  const Shape spatial = spatial_of(n.shape(0));
  LATHE_TRY(Geometry g, geometry(n, n.ints("kernel_shape").value_or(std::vector<int64_t>{}), spatial));
  LATHE_CHECK(auto_pad(n, g, spatial));
  double size = 1;
  for (const int64_t k : g.kernel) size *= static_cast<double>(k);
  const ValueId powers = n.b.op("Pow", {n.b.op("Abs", {n.in(0)}), n.b.scalar(t, p)});
  ValueId mean = kNoId;
  if (g.dims() > 2) {
    mean = pool_by_dimension(n, powers, g, "average", true);
  } else {
    g.lift();
    mean = n.b.make<ops::Pool>({to_channels_last(n, powers)}, [&](ops::Pool& o) {
      o.kind = "average";
      o.kernel = g.kernel;
      o.strides = g.strides;
      o.pads = g.pads;
      o.dilations = g.dilations;
      o.count_include_pad = true;
    });
    mean = to_channels_first(n, mean, n.rank(0));
  }
  const ValueId sum = n.b.op("Mul", {mean, n.b.scalar(t, size)});
  return n.done(n.b.op("Pow", {sum, n.b.scalar(t, 1 / p)}));
}

Result<Values> global_pool(Node& n) {
  if (n.rank(0) < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  std::vector<int64_t> axes(static_cast<size_t>(n.rank(0) - 2));
  std::iota(axes.begin(), axes.end(), 2);
  std::string_view kind = n.canonical();
  if (kind == "lp") {
    const int64_t p = n.i("p", 2);
    if (p != 1 && p != 2) return unsupported("p = " + std::to_string(p) + " is not supported");
    kind = p == 1 ? "l1" : "l2";
  }
  return n.done(n.b.reduce(kind, n.in(0), std::move(axes), true));
}

}  // namespace lathe::onnx
