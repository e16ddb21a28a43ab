// SPDX-License-Identifier: Apache-2.0
// Operators that select, join or move parts of tensors.
#include <algorithm>
#include <numeric>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "ir/attr_visitor.h"
#include "ops/cumsum.h"
#include "ops/expand.h"
#include "ops/gather.h"
#include "ops/nonzero.h"
#include "ops/pad.h"
#include "ops/scatter_elements.h"
#include "ops/slice.h"
#include "ops/tile.h"
#include "ops/unique.h"

namespace lathe::onnx {

namespace {

// The row's operator with attributes by name and its `axis` made non-negative.
Result<Values> with_axis(Node& n, int64_t otherwise, int64_t rank, Values inputs) {
  const OpInfo* info = find_op(n.canonical());
  if (!info) return unsupported("operator " + std::string(n.canonical()) + " is not supported");
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", otherwise), rank));
  std::shared_ptr<Op> op = info->make();
  n.copy_attributes(*op);
  set_attribute(*op, "axis", axis);
  return n.done(n.b.add_all(std::move(op), std::move(inputs)));
}

}  // namespace

Result<Values> concat(Node& n) {
  if (n.input_count() == 0) return damaged("there are no inputs");
  return with_axis(n, n.opset() < 4 ? 1 : 0, n.rank(0), n.inputs());
}

Result<Values> gather(Node& n) { return with_axis(n, 0, n.rank(0), n.inputs()); }

Result<Values> scatter(Node& n) { return with_axis(n, 0, n.rank(0), n.inputs()); }

Result<Values> top_k(Node& n) {
  Values inputs = n.inputs();
  if (n.opset() < 10) inputs.push_back(n.b.i64s({n.i("k", 0)}));
  if (inputs.size() > 1) inputs[1] = n.b.sizes(inputs[1]);
  return with_axis(n, -1, n.rank(0), std::move(inputs));
}

// The new dimension may also be the last.
Result<Values> one_hot(Node& n) { return with_axis(n, -1, n.rank(0) + 1, n.inputs()); }

namespace {

// Bounds that depend on data become sizes: counted from the start, inside the dimension. Steps are known and positive,
// else the operator says what it lacks.
void settle_bounds(Node& n, Values& inputs) {
  if (inputs.size() < 3) return;
  auto& b = n.b;
  const auto count = b.rank(inputs[1]) == 1 ? b.shape(inputs[1])[0].as_const() : std::nullopt;
  if (!count || *count > 32) return;
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < *count; ++i) axes.push_back(i);
  if (inputs.size() > 3 && inputs[3] != kNoId) {
    const auto given = integers_of(b.info(inputs[3]));
    if (!given) return;
    axes = *given;
  }
  if (inputs.size() > 4) {
    const auto steps = integers_of(b.info(inputs[4]));
    if (!steps || std::ranges::any_of(*steps, [](int64_t s) { return s <= 0; })) return;
  }
  for (int64_t& a : axes) {
    if (a < 0) a += n.rank(0);
    if (a < 0 || a >= n.rank(0)) return;
  }
  for (const size_t i : {size_t{1}, size_t{2}}) {
    if (content_of(b.info(inputs[i])) || b.rank(inputs[i]) != 1) continue;
    const ValueId size = b.make<ops::Gather>({b.op("Shape", {n.in(0)}), b.i64s(axes)}, [](auto& g) { g.axis = 0; });
    const ValueId given = b.cast(inputs[i], DType::kI64);
    const ValueId counted = b.op("Where", {b.op("Less", {given, b.i64(0)}), b.op("Add", {given, size}), given});
    inputs[i] = b.sizes(b.op("Min", {b.op("Max", {counted, b.i64(0)}), size}));
  }
}

}  // namespace

// Sizes that depend on data are read when the model runs.
Result<Values> expand(Node& n) {
  return n.done(n.b.add(std::make_shared<ops::Expand>(), {n.in(0), n.b.sizes(n.in(1))}));
}

// Starts, ends and axes are attributes before opset 10.
Result<Values> slice(Node& n) {
  Values inputs = n.inputs();
  if (n.opset() < 10) {
    const auto starts = n.ints("starts"), ends = n.ints("ends"), axes = n.ints("axes");
    if (!starts || !ends) return damaged("starts or ends are missing");
    inputs = {n.in(0), n.b.i64s(*starts), n.b.i64s(*ends)};
    if (axes) inputs.push_back(n.b.i64s(*axes));
  }
  while (!inputs.empty() && inputs.back() == kNoId) inputs.pop_back();
  settle_bounds(n, inputs);
  return n.done(n.b.add(std::make_shared<ops::Slice>(), std::move(inputs)));
}

namespace {

// Parts whose sizes are data.
Result<Values> split_by(Node& n, int64_t axis, ValueId sizes) {
  const ValueId ends = n.b.make<ops::CumSum>({sizes, n.b.i64(0)}, [](ops::CumSum&) {});
  Values out;
  ValueId start = n.b.i64s({0});
  for (size_t i = 0; i < n.output_count(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const ValueId end = n.b.slice(ends, 0, at, at + 1);
    out.push_back(n.wants(i) ? n.b.add(std::make_shared<ops::Slice>(), {n.in(0), start, end, n.b.i64s({axis})})
                             : kNoId);
    start = end;
  }
  return n.done(std::move(out));
}

}  // namespace

Result<Values> split(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0)));
  const auto parts = static_cast<int64_t>(n.output_count());
  std::vector<int64_t> sizes;
  if (auto given = n.ints("split")) {
    sizes = *std::move(given);
  } else if (n.has(1)) {
    if (computed(n, 1)) return split_by(n, axis, n.b.cast(n.in(1), DType::kI64));
    LATHE_TRY(sizes, n.integers(1, "split"));
  } else {
    const Dim d = n.shape(0)[static_cast<size_t>(axis)];
    if (!d.is_const()) {
      // Equal parts of what the run tells: rounded up, and the last one shorter.
      const int64_t count = n.i("num_outputs", parts);
      if (count < parts || count < 1 || count > 1 << 20)
        return damaged("num_outputs " + std::to_string(count) + " does not fit");
      const ValueId whole = n.b.slice(shape_of(n, n.in(0)), 0, axis, axis + 1);
      const ValueId part = n.b.op("Div", {n.b.op("Add", {whole, n.b.i64(count - 1)}), n.b.i64(count)});
      Values out;
      for (int64_t i = 0; i < parts; ++i)
        out.push_back(
            n.wants(static_cast<size_t>(i))
                ? n.b.add(std::make_shared<ops::Slice>(), {n.in(0), n.b.op("Mul", {part, n.b.i64(i)}),
                                                           n.b.op("Mul", {part, n.b.i64(i + 1)}), n.b.i64s({axis})})
                : kNoId);
      return n.done(std::move(out));
    }
    const int64_t count = n.i("num_outputs", parts);
    if (count < parts || count < 1 || count > 1 << 20)
      return damaged("num_outputs " + std::to_string(count) + " does not fit");
    const int64_t chunk = (d.value() + count - 1) / count;
    for (int64_t i = 0; i < count; ++i) sizes.push_back(std::clamp<int64_t>(d.value() - i * chunk, 0, chunk));
  }
  if (static_cast<int64_t>(sizes.size()) < parts)
    return damaged(std::to_string(sizes.size()) + " sizes for " + std::to_string(parts) + " outputs");
  int64_t total = 0;
  for (const int64_t s : sizes)
    if (s < 0 || __builtin_add_overflow(total, s, &total)) return damaged("sizes must not be negative");
  if (const auto d = n.shape(0)[static_cast<size_t>(axis)].as_const(); d && total != *d)
    return damaged("sizes add up to " + std::to_string(total) + ", the dimension is " + std::to_string(*d));
  Values out;
  int64_t at = 0;
  for (size_t i = 0; i < n.output_count(); at += sizes[i++])
    out.push_back(n.wants(i) ? n.b.slice(n.in(0), axis, at, at + sizes[i]) : kNoId);
  return n.done(std::move(out));
}

// Pads are an attribute before opset 11 (an input in com.microsoft); axes, an input since 18, are spread over all
// dimensions.
Result<Values> pad(Node& n) {
  ValueId pads = n.in(1), value = n.in(2);
  if (pads == kNoId) {
    auto given = n.ints("pads");
    if (!given) given = n.ints("paddings");
    if (!given) return damaged("pads are missing");
    pads = n.b.i64s(*given);
    if (n.f("value", 0) != 0) value = n.b.scalar(n.dtype(0), n.f("value", 0));
  }
  if (n.has(3) && (computed(n, 3) || computed(n, 1))) {
    const int64_t rank = n.rank(0);
    LATHE_TRY(const int64_t count, axis_count(n, 3));
    LATHE_TRY(const ComputedAxes a, computed_axes(n, 3, rank));
    const ValueId given = n.b.cast(n.in(1), DType::kI64);
    if (!n.b.ok()) return n.done(kNoId);
    if (n.b.rank(given) != 1 || (n.b.shape(given)[0].is_const() && n.b.shape(given)[0].value() != 2 * count))
      return damaged("pads and axes differ in length");
    pads = spread(n, n.b.concat({a.axes, n.b.op("Add", {a.axes, n.b.i64(rank)})}, 0), given, repeated(n, 0, 2 * rank));
  } else if (n.has(3)) {
    LATHE_TRY(auto axes, n.integers(3, "axes"));
    LATHE_TRY(const auto given, n.integers(1, "pads (where axes are given)"));
    if (given.size() != 2 * axes.size()) return damaged("pads and axes differ in length");
    const auto rank = static_cast<size_t>(n.rank(0));
    std::vector<int64_t> spread(2 * rank, 0);
    for (size_t i = 0; i < axes.size(); ++i) {
      LATHE_TRY(const int64_t a, Node::axis(axes[i], n.rank(0)));
      spread[static_cast<size_t>(a)] = given[i];
      spread[rank + static_cast<size_t>(a)] = given[axes.size() + i];
    }
    pads = n.b.i64s(spread);
  }
  if (n.b.rank(pads) == 2) pads = n.b.reshape(pads, {product(n.b.shape(pads))});
  Values inputs = {n.in(0), n.b.sizes(pads)};
  if (value != kNoId) {
    if (n.b.rank(value) == 1) value = n.b.reshape(value, {});
    inputs.push_back(value);
  }
  return n.done(n.b.make<ops::Pad>(std::move(inputs), [&](ops::Pad& p) { p.mode = n.s("mode", "constant"); }));
}

Result<Values> tile(Node& n) {
  if (n.opset() >= 6) return n.done(n.b.add(std::make_shared<ops::Tile>(), {n.in(0), n.b.sizes(n.in(1))}));
  LATHE_TRY(const auto tiles, n.integers(1, "tiles"));
  LATHE_TRY(const auto axis, n.integers(2, "axis"));
  std::vector<int64_t> repeats(static_cast<size_t>(n.rank(0)), 1);
  if (tiles.size() != 1 || axis.size() != 1) return damaged("tiles and axis must be single numbers");
  LATHE_TRY(const int64_t a, Node::axis(axis[0], n.rank(0)));
  repeats[static_cast<size_t>(a)] = tiles[0];
  return n.done(n.b.add(std::make_shared<ops::Tile>(), {n.in(0), n.b.i64s(repeats)}));
}

Result<Values> cum_prod(Node& n) {
  return n.done(n.b.make<ops::CumSum>({n.in(0), n.in(1)}, [&](ops::CumSum& c) {
    n.copy_attributes(c);
    c.product = true;
  }));
}

// Rows where the condition holds: Gather by NonZero. Without axis, of the flattened input.
Result<Values> compress(Node& n) {
  ValueId x = n.in(0);
  int64_t axis = 0;
  if (n.attr("axis")) {
    LATHE_TRY(axis, Node::axis(n.i("axis", 0), n.rank(0)));
  } else {
    x = n.b.reshape(x, {product(n.shape(0))});
  }
  const ValueId at = n.b.add(std::make_shared<ops::NonZero>(), {n.in(1)});
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId rows = n.b.reshape(at, {n.b.shape(at)[1]});
  return n.done(n.b.make<ops::Gather>({x, rows}, [&](ops::Gather& g) { g.axis = axis; }));
}

// The different elements, or slices along an axis.
Result<Values> unique(Node& n) {
  if (n.dtype(0) == DType::kString) return unsupported("strings are not supported");
  const Shape s = n.shape(0);
  int64_t axis = 0;
  ValueId x = n.in(0), rows = kNoId;
  if (n.attr("axis")) {
    LATHE_TRY(axis, Node::axis(n.i("axis", 0), n.rank(0)));
    std::vector<int64_t> perm = {axis};
    for (int64_t d = 0; d < n.rank(0); ++d)
      if (d != axis) perm.push_back(d);
    Dim width = 1;
    for (int64_t d = 0; d < n.rank(0); ++d)
      if (d != axis) width = width * s[static_cast<size_t>(d)];
    rows = n.b.reshape(n.b.transpose(x, perm), {s[static_cast<size_t>(axis)], width});
  } else {
    x = n.b.reshape(x, {product(s)});
    rows = n.b.reshape(x, {product(s), 1});
  }
  auto op = std::make_shared<ops::Unique>();
  op->sorted = n.i("sorted", 1) != 0;
  const auto u = n.b.add_all(std::move(op), {rows});
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId y = n.b.make<ops::Gather>({x, u[0]}, [&](ops::Gather& g) { g.axis = axis; });
  return n.done({y, u[0], u[1], u[2]});
}

// input [N, C * block, L], image_shape, block_shape: overlapping blocks are added up. Positions are computed from the
// shapes; what lies in the padding goes to a place that is cut off. ONNX Col2Im-18.
Result<Values> col2im(Node& n) {
  const Shape s = n.shape(0), image_dims = n.shape(1);
  const auto d = image_dims.size() == 1 ? image_dims[0].as_const() : std::nullopt;
  if (s.size() != 3 || !d || *d < 1 || *d > 8 || n.rank(2) != 1) return damaged("the input must be of rank 3");
  const auto k = static_cast<size_t>(*d);
  const auto strides = n.ints("strides").value_or(std::vector<int64_t>(k, 1)),
             pads = n.ints("pads").value_or(std::vector<int64_t>(2 * k, 0)),
             dilations = n.ints("dilations").value_or(std::vector<int64_t>(k, 1));
  if (strides.size() != k || pads.size() != 2 * k || dilations.size() != k)
    return damaged("strides, pads or dilations do not fit");
  for (const auto* list : {&strides, &pads, &dilations})
    for (const int64_t v : *list)
      if (v < 0 || v > INT32_MAX || (list == &strides && v == 0))
        return damaged("strides, pads or dilations are out of range");
  const ValueId image = n.b.cast(n.in(1), DType::kI64), block = n.b.cast(n.in(2), DType::kI64);
  const auto op = [&](std::string_view name, ValueId a, ValueId b) { return n.b.op(name, {a, b}); };
  const auto element = [&](ValueId v, size_t i) {
    return n.b.reshape(n.b.slice(v, 0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1), {});
  };
  const auto range = [&](ValueId count) { return n.b.op("Range", {n.b.i64(0), count, n.b.i64(1)}); };
  const ValueId total = n.b.reduce("prod", image, {0}, false);
  ValueId place = n.b.i64(0), inside = kNoId, columns = n.b.i64(1);
  for (size_t i = 0; i < k && n.b.ok(); ++i) {
    const ValueId size = element(image, i), taps = element(block, i);
    const ValueId reach = op("Add", op("Mul", op("Sub", taps, n.b.i64(1)), n.b.i64(dilations[i])), n.b.i64(1));
    const ValueId room = op("Sub", op("Add", size, n.b.i64(pads[i] + pads[k + i])), reach);
    const ValueId blocks = op("Add", op("Div", room, n.b.i64(strides[i])), n.b.i64(1));
    columns = op("Mul", columns, op("Mul", taps, blocks));
    const ValueId tap = range(taps), at = range(blocks);
    if (!n.b.ok()) break;
    Shape tap_shape(2 * k, Dim(1)), at_shape = tap_shape;
    tap_shape[i] = n.b.shape(tap)[0];
    at_shape[k + i] = n.b.shape(at)[0];
    const ValueId offset = op("Sub", op("Mul", n.b.reshape(tap, tap_shape), n.b.i64(dilations[i])), n.b.i64(pads[i]));
    const ValueId p = op("Add", offset, op("Mul", n.b.reshape(at, at_shape), n.b.i64(strides[i])));
    const ValueId ok = op("And", n.b.op("GreaterOrEqual", {p, n.b.i64(0)}), n.b.op("Less", {p, size}));
    inside = inside == kNoId ? ok : op("And", inside, ok);
    place = op("Add", op("Mul", place, size), p);
  }
  const ValueId columns1 = n.b.reshape(columns, {1}), total1 = n.b.reshape(total, {1});
  const ValueId x = n.b.op("Reshape", {n.in(0), n.b.concat({n.b.i64s({-1}), columns1}, 0)});
  const ValueId flat =
      n.b.op("Reshape", {n.b.op("Where", {inside, place, total}), n.b.concat({n.b.i64s({1}), columns1}, 0)});
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId x_shape = n.b.op("Shape", {x}), lines = n.b.slice(x_shape, 0, 0, 1);
  const ValueId to = n.b.concat({lines, op("Add", total1, n.b.i64(1))}, 0);
  const ValueId sum = n.b.make<ops::ScatterElements>(
      {n.b.op("Expand", {n.b.scalar(n.dtype(0), 0), to}), n.b.op("Expand", {flat, x_shape}), x},
      [](ops::ScatterElements& e) {
        e.axis = 1;
        e.reduction = "add";
      });
  const ValueId cut = n.b.op("Slice", {sum, n.b.i64s({0}), total1, n.b.i64s({1})});
  const ValueId batch = n.b.slice(n.b.op("Shape", {n.in(0)}), 0, 0, 1);
  return n.done(n.b.op("Reshape", {cut, n.b.concat({batch, n.b.i64s({-1}), image}, 0)}));
}

}  // namespace lathe::onnx
