// SPDX-License-Identifier: Apache-2.0
// Convolutions and pools. torch has channels second, the canonical operators have them last: each is wrapped in
// transposes, which the layout pass cancels. One spatial dimension is lifted to two (height 1).
#include "ops/conv.h"

#include <algorithm>
#include <numeric>

#include "import/channels.h"
#include "import/pt2/handlers.h"
#include "ops/conv_transpose.h"
#include "ops/matmul.h"
#include "ops/pool.h"

namespace lathe::pt2 {

namespace {

constexpr int64_t kMost = int64_t{1} << 31;

// A list with one number for each spatial dimension, or one for all.
std::vector<int64_t> per_dimension(Node& n, std::string_view name, size_t dims, int64_t otherwise) {
  auto v = n.ints(name);
  if (v.empty()) v = {otherwise};
  if (v.size() == 1) v.assign(dims, v[0]);
  if (v.size() != dims || !std::ranges::all_of(v, [](int64_t x) { return x >= 0 && x < kMost; })) {
    n.fail_with(Code::kDamaged, std::string(name) + " does not fit " + std::to_string(dims) + " spatial dimensions");
    v.assign(dims, 1);
  }
  return v;
}

bool positive(std::initializer_list<const std::vector<int64_t>*> lists) {
  return std::ranges::all_of(lists,
                             [](const auto* v) { return std::ranges::all_of(*v, [](int64_t x) { return x > 0; }); });
}

std::vector<int64_t> both_sides(const std::vector<int64_t>& pad) {
  std::vector<int64_t> r = pad;
  r.insert(r.end(), pad.begin(), pad.end());
  return r;
}

// One spatial dimension as two: `front` for the height; pads are begins, then ends.
void lift(std::vector<int64_t>& v, int64_t front) {
  if (v.size() == 1) v.insert(v.begin(), front);
}
void lift_pads(std::vector<int64_t>& pads) {
  if (pads.size() == 2) pads = {0, pads[0], 0, pads[1]};
}

// torch also takes inputs without a batch.
struct Batched {
  ValueId x = kNoId;
  bool added = false;
};
Batched batched(Node& n, ValueId x, size_t dims) {
  if (!n.b.ok() || n.b.rank(x) != static_cast<int64_t>(dims) + 1) return {x, false};
  Shape s = n.b.shape(x);
  s.insert(s.begin(), Dim(1));
  return {n.b.reshape(x, s), true};
}
ValueId unbatched(Node& n, ValueId y, bool added) {
  if (!added || !n.b.ok()) return y;
  const Shape s = n.b.shape(y);
  return n.b.reshape(y, {s.begin() + 1, s.end()});
}

// Spatial dimensions of a pool: from the operator's name ("aten.max_pool2d").
Result<size_t> spatial_of(Node& n) {
  const auto at = n.op().find_first_of("123");
  const auto dims = at == std::string_view::npos ? size_t{2} : static_cast<size_t>(n.op()[at] - '0');
  return dims;
}

ValueId pooled(Node& n, const Batched& in, std::string_view kind, std::vector<int64_t> kernel,
               std::vector<int64_t> strides, std::vector<int64_t> pads, std::vector<int64_t> dilations, bool ceil_mode,
               bool count_pad) {
  const int64_t rank = n.b.rank(in.x);
  if (kernel.size() > 2) {
    // One dimension after the other: a maximum of maxima is the maximum, and windows that hang over an edge are the
    // same for all positions of the other dimensions, so that means of means are the mean.
    ValueId x = in.x;
    for (size_t d = 0; d < kernel.size() && n.b.ok(); ++d) {
      const Shape s = n.b.shape(x);
      const auto at = static_cast<ptrdiff_t>(d) + 2;
      const Dim before = product({s.begin(), s.begin() + at}), after = product({s.begin() + at + 1, s.end()});
      const ValueId y = n.b.make<ops::Pool>({n.b.reshape(x, {before, 1, s[d + 2], after})}, [&](ops::Pool& p) {
        p.kind = kind;
        p.kernel = {1, kernel[d]};
        p.strides = {1, strides[d]};
        p.pads = {0, pads[d], 0, pads[kernel.size() + d]};
        p.dilations = {1, dilations[d]};
        p.ceil_mode = ceil_mode;
        p.count_include_pad = count_pad;
      });
      if (!n.b.ok()) return kNoId;
      Shape next = s;
      next[d + 2] = n.b.shape(y)[2];
      x = n.b.reshape(y, next);
    }
    return unbatched(n, x, in.added);
  }
  lift(kernel, 1);
  lift(strides, 1);
  lift(dilations, 1);
  lift_pads(pads);
  const ValueId y = n.b.make<ops::Pool>({importer::to_channels_last(n.b, in.x)}, [&](ops::Pool& p) {
    p.kind = kind;
    p.kernel = kernel;
    p.strides = strides;
    p.pads = pads;
    p.dilations = dilations;
    p.ceil_mode = ceil_mode;
    p.count_include_pad = count_pad;
  });
  return unbatched(n, importer::to_channels_first(n.b, y, rank), in.added);
}

}  // namespace

// conv1d, conv2d, conv_transpose1d, conv_transpose2d, convolution
Result<Values> conv(Node& n) {
  const ValueId w = n.tensor("weight"), bias = n.optional("bias");
  const ValueId given = n.tensor("input");
  if (!n.b.ok()) return n.done(kNoId);
  const auto weight = static_dims(n.b.shape(w));
  if (!weight) return unsupported("the weight's shape " + shape_str(n.b.shape(w)) + " is not constant");
  if (weight->size() < 3) return damaged("the weight has no spatial dimension");
  const size_t dims = weight->size() - 2;
  if (dims > 3) return damaged("the weight has too many dimensions");
  const Batched in = batched(n, given, dims);
  if (n.b.rank(in.x) != static_cast<int64_t>(weight->size())) return damaged("input and weight differ in rank");
  std::vector<int64_t> kernel(weight->begin() + 2, weight->end());
  auto strides = per_dimension(n, "stride", dims, 1), dilations = per_dimension(n, "dilation", dims, 1);
  const int64_t group = n.i("groups", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (group < 1 || !positive({&kernel, &strides, &dilations}))
    return damaged("kernel, stride or groups is not positive");
  std::vector<int64_t> pads;
  const auto* padding = n.arg("padding");
  if (padding && padding->kind == schema::Argument::Kind::kString) {
    pads.assign(2 * dims, 0);
    if (padding->text == "same")
      for (size_t d = 0; d < dims; ++d) {
        const int64_t total = dilations[d] * (kernel[d] - 1);
        pads[d] = total / 2;
        pads[dims + d] = total - total / 2;
      }
  } else {
    pads = both_sides(per_dimension(n, "padding", dims, 0));
  }
  const bool transposed = n.canonical() == "transposed" || n.flag("transposed", false);
  auto extra = per_dimension(n, "output_padding", dims, 0);
  lift(kernel, 1);
  lift(strides, 1);
  lift(dilations, 1);
  lift(extra, 0);
  lift_pads(pads);
  const int64_t rank = n.b.rank(in.x);
  Values inputs = {importer::to_channels_last(n.b, in.x)};
  ValueId y = kNoId;
  if (!transposed) {
    inputs.push_back(importer::to_channels_last(n.b, w));
    if (bias != kNoId) inputs.push_back(bias);
    y = n.b.make<ops::Conv>(std::move(inputs), [&](ops::Conv& c) {
      c.strides = strides;
      c.pads = pads;
      c.dilations = dilations;
      c.group = group;
    });
  } else {
    // [C, M/group, k…] → [group, C/group, M/group, k…] → [group, M/group, k…, C/group] → [M, k…, C/group]
    if ((*weight)[0] % group != 0) return damaged("groups does not divide the channels");
    Shape split = {group, (*weight)[0] / group}, merged = {group * (*weight)[1]};
    std::vector<int64_t> perm = {0, 2};
    for (size_t d = 1; d < weight->size(); ++d) split.emplace_back((*weight)[d]);
    for (size_t d = 0; d < dims; ++d) perm.push_back(static_cast<int64_t>(d) + 3);
    perm.push_back(1);
    for (const int64_t k : kernel) merged.emplace_back(k);
    merged.emplace_back((*weight)[0] / group);
    inputs.push_back(n.b.reshape(n.b.transpose(n.b.reshape(w, split), perm), merged));
    if (bias != kNoId) inputs.push_back(bias);
    y = n.b.make<ops::ConvTranspose>(std::move(inputs), [&](ops::ConvTranspose& c) {
      c.strides = strides;
      c.pads = pads;
      c.dilations = dilations;
      c.output_padding = extra;
      c.group = group;
    });
  }
  return n.done(unbatched(n, importer::to_channels_first(n.b, y, rank), in.added));
}

// The second result, the positions, cannot be had.
Result<Values> max_pool(Node& n) {
  LATHE_TRY(const size_t dims, spatial_of(n));
  const Batched in = batched(n, n.tensor("self"), dims);
  const auto kernel = per_dimension(n, "kernel_size", dims, 1);
  auto strides = n.ints("stride").empty() ? kernel : per_dimension(n, "stride", dims, 1);
  const auto pad = per_dimension(n, "padding", dims, 0), dilations = per_dimension(n, "dilation", dims, 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (!positive({&kernel, &strides, &dilations})) return damaged("kernel, stride or dilation is not positive");
  Values r(n.output_count(), kNoId);
  if (r.empty()) return damaged("it has no result");
  r[0] = pooled(n, in, "max", kernel, strides, both_sides(pad), dilations, n.flag("ceil_mode", false), false);
  return n.done(std::move(r));
}

Result<Values> avg_pool(Node& n) {
  LATHE_TRY(const size_t dims, spatial_of(n));
  const Batched in = batched(n, n.tensor("self"), dims);
  const auto kernel = per_dimension(n, "kernel_size", dims, 1);
  const auto strides = n.ints("stride").empty() ? kernel : per_dimension(n, "stride", dims, 1);
  const auto pad = per_dimension(n, "padding", dims, 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (!positive({&kernel, &strides})) return damaged("kernel or stride is not positive");
  // A divisor of one's own: the average over the whole window, times its size.
  const bool own = n.has("divisor_override");
  ValueId y = pooled(n, in, "average", kernel, strides, both_sides(pad), std::vector<int64_t>(dims, 1),
                     n.flag("ceil_mode", false), own || n.flag("count_include_pad", true));
  if (own) {
    if (n.flag("ceil_mode", false)) return unsupported("divisor_override with ceil_mode is not supported");
    double size = 1;
    for (const int64_t k : kernel) size *= static_cast<double>(k);
    y = n.b.op("Mul", {y, n.b.scalar(n.b.dtype(y), size / n.f("divisor_override", 1))});
  }
  return n.done(y);
}

namespace {

// Output cell i of `out` covers floor(i * in / out) … ceil((i + 1) * in / out).
struct Cell {
  int64_t begin, end;
};
Cell cell(int64_t i, int64_t in, int64_t out) { return {i * in / out, ((i + 1) * in + out - 1) / out}; }

struct Adaptive {
  Batched in;
  size_t dims = 2;
  std::vector<int64_t> sizes;  ///< of the input; -1 where it is not known
  std::vector<int64_t> out;
  int64_t rank = 0;
};

Result<Adaptive> adaptive(Node& n) {
  Adaptive a;
  LATHE_TRY(a.dims, spatial_of(n));
  a.in = batched(n, n.tensor("self"), a.dims);
  const auto* given = n.arg("output_size");
  if (!given) return damaged("output_size is missing");
  a.rank = n.b.rank(a.in.x);
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  if (a.rank != static_cast<int64_t>(a.dims) + 2) return damaged("the input has the wrong rank");
  for (size_t d = 0; d < a.dims; ++d) a.sizes.push_back(n.b.shape(a.in.x)[2 + d].as_const().value_or(-1));
  a.out = per_dimension(n, "output_size", a.dims, 1);
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  if (!positive({&a.out})) return damaged("output_size is not positive");
  return a;
}

bool regular(const Adaptive& a) {
  for (size_t d = 0; d < a.dims; ++d)
    if (a.sizes[d] < 0 || a.sizes[d] % a.out[d] != 0) return false;
  return true;
}

ValueId regular_pool(Node& n, const Adaptive& a, std::string_view kind) {
  std::vector<int64_t> kernel;
  for (size_t d = 0; d < a.dims; ++d) kernel.push_back(a.sizes[d] / a.out[d]);
  return pooled(n, a.in, kind, kernel, kernel, std::vector<int64_t>(2 * a.dims, 0), std::vector<int64_t>(a.dims, 1),
                false, false);
}

bool all_ones(const std::vector<int64_t>& v) {
  return std::ranges::all_of(v, [](int64_t x) { return x == 1; });
}

ValueId global(Node& n, const Adaptive& a, std::string_view kind) {
  std::vector<int64_t> axes(a.dims);
  std::iota(axes.begin(), axes.end(), 2);
  return unbatched(n, n.b.reduce(kind, a.in.x, axes, true), a.in.added);
}

}  // namespace

Result<Values> adaptive_avg_pool(Node& n) {
  LATHE_TRY(const Adaptive a, adaptive(n));
  if (all_ones(a.out)) return n.done(global(n, a, "mean"));
  if (regular(a)) return n.done(regular_pool(n, a, "average"));
  // Cells of unequal size: a product with a matrix of averages, dimension by dimension.
  ValueId x = a.in.x;
  const DType t = n.b.dtype(x);
  for (size_t d = a.dims; d-- > 0;) {
    const int64_t in = a.sizes[d], out = a.out[d];
    if (in < 0) return unsupported("the input's size must be known");
    Tensor m = Tensor::zeros(t, {out, in});
    for (int64_t i = 0; i < out; ++i) {
      const Cell c = cell(i, in, out);
      for (int64_t k = c.begin; k < c.end; ++k) m.set(i * in + k, 1.0 / static_cast<double>(c.end - c.begin));
    }
    const ValueId averages = n.b.constant(std::move(m));
    if (d + 1 == a.dims) {
      x = n.b.make<ops::MatMul>({x, averages}, [](ops::MatMul& o) { o.trans_b = true; });
      continue;
    }
    Shape s = n.b.shape(x);  // what is behind the dimension as one
    const auto at = static_cast<ptrdiff_t>(d) + 2;
    x = n.b.reshape(x, {product({s.begin(), s.begin() + at}), in, product({s.begin() + at + 1, s.end()})});
    x = n.b.add(std::make_shared<ops::MatMul>(), {averages, x});
    s[static_cast<size_t>(at)] = out;
    x = n.b.reshape(x, s);
    if (!n.b.ok()) return n.done(kNoId);
  }
  return n.done(unbatched(n, x, a.in.added));
}

Result<Values> adaptive_max_pool(Node& n) {
  LATHE_TRY(const Adaptive a, adaptive(n));
  Values r(std::max<size_t>(n.output_count(), 1), kNoId);
  if (all_ones(a.out)) {
    r[0] = global(n, a, "max");
    return n.done(std::move(r));
  }
  if (regular(a)) {
    r[0] = regular_pool(n, a, "max");
    return n.done(std::move(r));
  }
  ValueId x = a.in.x;
  for (size_t d = 0; d < a.dims; ++d) {
    if (a.sizes[d] < 0 || a.out[d] > 1024) return unsupported("the input's size must be known");
    const auto axis = static_cast<int64_t>(d) + 2;
    Values cells;
    for (int64_t i = 0; i < a.out[d]; ++i) {
      const Cell c = cell(i, a.sizes[d], a.out[d]);
      cells.push_back(n.b.reduce("max", n.b.slice(x, axis, c.begin, c.end), {axis}, true));
    }
    x = n.b.concat(std::move(cells), axis);
  }
  r[0] = unbatched(n, x, a.in.added);
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
