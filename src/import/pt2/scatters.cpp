// SPDX-License-Identifier: Apache-2.0
// Operators that store at positions, beyond scatter and index_put themselves.
#include <algorithm>

#include "import/pt2/handlers.h"
#include "ops/cumsum.h"
#include "ops/gather.h"
#include "ops/gather_elements.h"
#include "ops/scatter_elements.h"

namespace lathe::pt2 {

namespace {

constexpr int64_t kMostPositions = int64_t{1} << 22;

ValueId stored(Node& n, ValueId x, ValueId at, ValueId values, int64_t axis, std::string_view reduction) {
  return n.b.make<ops::ScatterElements>({x, at, values}, [&](ops::ScatterElements& s) {
    s.axis = axis;
    s.reduction = reduction;
  });
}

ValueId flat(Node& n, ValueId x) { return n.b.ok() ? n.b.reshape(x, {product(n.b.shape(x))}) : kNoId; }

}  // namespace

// index_add, index_copy, index_fill: whole slices at positions along one dimension.
Result<Values> index_store(Node& n) {
  const ValueId x = n.tensor("self"), index = n.tensor("index");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  if (n.b.rank(x) == 0) return unsupported("a tensor without dimensions");
  const DType t = n.b.dtype(x);
  Shape part = n.b.shape(x), row(part.size(), Dim(1));
  const Dim count = product(n.b.shape(index));
  part[static_cast<size_t>(axis)] = row[static_cast<size_t>(axis)] = count;
  const std::string_view how = n.canonical();
  ValueId values = kNoId;
  if (how == "fill") {
    values = n.b.expand(n.as("value", t), part);
  } else {
    values = n.b.reshape(n.b.cast(n.tensor("source"), t), part);
    if (n.has("alpha") && n.f("alpha", 1) != 1) values = n.b.op("Mul", {values, n.as("alpha", t)});
  }
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId at = n.b.expand(n.b.reshape(n.b.cast(index, DType::kI64), row), part);
  return n.done(stored(n, x, at, values, axis, how == "add" ? "add" : "none"));
}

// take: of the flat tensor; take_along_dim: gather with broadcasting.
Result<Values> take(Node& n) {
  const ValueId x = n.tensor("self"), index = n.b.cast(n.tensor(n.has("index") ? "index" : "indices"), DType::kI64);
  if (!n.b.ok()) return n.done(kNoId);
  if (n.canonical() == "flat") return n.done(n.b.make<ops::Gather>({flat(n, x), index}, [](ops::Gather&) {}));
  if (!n.has("dim")) return n.done(n.b.make<ops::Gather>({flat(n, x), flat(n, index)}, [](ops::Gather&) {}));
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  if (n.b.rank(index) != n.b.rank(x)) return damaged("input and indices differ in rank");
  Shape from = n.b.shape(x), to = n.b.shape(index);
  for (size_t d = 0; d < from.size(); ++d) {
    if (static_cast<int64_t>(d) == axis) continue;
    if (from[d].equals(1))
      from[d] = to[d];
    else
      to[d] = from[d];
  }
  const ValueId a = from == n.b.shape(x) ? x : n.b.expand(x, from);
  const ValueId b = to == n.b.shape(index) ? index : n.b.expand(index, to);
  return n.done(n.b.make<ops::GatherElements>({a, b}, [&](ops::GatherElements& g) { g.axis = axis; }));
}

// The elements of `source` in a row, where the mask holds.
Result<Values> masked_scatter(Node& n) {
  const ValueId x = n.tensor("self");
  ValueId mask = n.b.cast(n.tensor("mask"), DType::kBool);
  const ValueId source = flat(n, n.b.cast(n.tensor("source"), n.b.dtype(x)));
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (n.b.shape(mask) != s) mask = n.b.expand(mask, s);
  const ValueId seen = n.b.add(std::make_shared<ops::CumSum>(), {n.b.cast(flat(n, mask), DType::kI64), n.b.i64(0)});
  // Before the first there is nothing to be read; any position does.
  const ValueId at = n.b.op("Max", {n.b.op("Sub", {seen, n.b.i64(1)}), n.b.i64(0)});
  const ValueId read = n.b.make<ops::Gather>({source, at}, [](ops::Gather&) {});
  return n.done(n.b.op("Where", {mask, n.b.ok() ? n.b.reshape(read, s) : kNoId, x}));
}

// F.fold: the sums of windows [N, C * kh * kw, windows] where they came from.
Result<Values> col2im(Node& n) {
  const ValueId x = n.tensor("self");
  const auto out = n.ints("output_size"), kernel = n.ints("kernel_size"), dilation = n.ints("dilation"),
             padding = n.ints("padding"), stride = n.ints("stride");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  for (const auto* v : {&out, &kernel, &dilation, &padding, &stride})
    if (v->size() != 2 || (*v)[0] < 0 || (*v)[1] < 0 || (*v)[0] > 1 << 20 || (*v)[1] > 1 << 20)
      return damaged("a size is out of range");
  if (s.size() != 3 || !s[2].is_const() || stride[0] < 1 || stride[1] < 1 || dilation[0] < 1 || dilation[1] < 1)
    return unsupported("only batches of a known number of windows are supported");
  const int64_t cells = kernel[0] * kernel[1], h = out[0] + 2 * padding[0], w = out[1] + 2 * padding[1];
  const int64_t rows = (h - dilation[0] * (kernel[0] - 1) - 1) / stride[0] + 1,
                columns = (w - dilation[1] * (kernel[1] - 1) - 1) / stride[1] + 1;
  if (cells == 0 || rows < 1 || columns < 1 || rows * columns != s[2].value())
    return damaged("the windows do not fit the output");
  if (cells > kMostPositions / s[2].value()) return unsupported("too many windows");
  std::vector<int64_t> at;
  for (int64_t k = 0; k < cells; ++k)
    for (int64_t i = 0; i < rows * columns; ++i)
      at.push_back((i / columns * stride[0] + k / kernel[1] * dilation[0]) * w + i % columns * stride[1] +
                   k % kernel[1] * dilation[1]);
  const Dim planes = s[0] * floor_div(s[1], cells), count = static_cast<int64_t>(at.size());
  const ValueId values = n.b.reshape(x, {planes, count});
  const ValueId index =
      n.b.expand(n.b.constant(Tensor::vector_i64(at).reshaped({1, static_cast<int64_t>(at.size())})), {planes, count});
  const ValueId zero = n.b.expand(n.b.scalar(n.b.dtype(x), 0), {planes, h * w});
  ValueId y = stored(n, zero, index, values, 1, "add");
  if (!n.b.ok()) return n.done(kNoId);
  y = n.b.reshape(y, {s[0], floor_div(s[1], cells), h, w});
  y = n.b.slice(n.b.slice(y, 2, padding[0], padding[0] + out[0]), 3, padding[1], padding[1] + out[1]);
  return n.done(y);
}

// slice_scatter with steps, diagonal_scatter: what the view does with the positions of the elements tells where each
// element of src belongs.
Result<Values> view_scatter(Node& n) {
  const ValueId x = n.tensor("self"), src = n.tensor("src");
  if (!n.b.ok()) return n.done(kNoId);
  const auto dims = static_dims(n.b.shape(x));
  if (!dims || product(n.b.shape(x)).value() > kMostPositions)
    return unsupported("storing through a view of " + shape_str(n.b.shape(x)) + " is not supported");
  const int64_t count = product(n.b.shape(x)).value();
  std::vector<int64_t> positions(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) positions[static_cast<size_t>(i)] = i;
  n.replace("self", n.b.constant(Tensor::vector_i64(positions).reshaped(*dims)));
  LATHE_TRY(const Values seen, n.canonical() == "diagonal" ? diagonal(n) : slice(n));
  const ValueId y = stored(n, flat(n, x), flat(n, seen[0]), flat(n, n.b.cast(src, n.b.dtype(x))), 0, "none");
  return n.done(n.b.ok() ? n.b.reshape(y, n.b.shape(x)) : kNoId);
}

}  // namespace lathe::pt2
