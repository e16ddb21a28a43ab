// SPDX-License-Identifier: Apache-2.0
// Operators that change the shape or the order of elements alone.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <numeric>

#include "import/pt2/handlers.h"
#include "ops/bit_cast.h"
#include "ops/concat.h"
#include "ops/elementwise.h"
#include "ops/reshape.h"
#include "ops/slice.h"
#include "ops/tile.h"

namespace lathe::pt2 {

namespace {

// x with sizes of which one may be -1: the rest.
ValueId reshaped(Node& n, ValueId x, Shape to) {
  if (!n.b.ok()) return kNoId;
  const auto open = std::ranges::find_if(to, [](const Dim& d) { return d.equals(-1); });
  if (open == to.end()) return n.b.reshape(x, to);
  *open = 1;
  const Dim total = product(n.b.shape(x)), others = product(to);
  if (others.is_const() && others.value() > 0) {
    const Dim rest = floor_div(total, others);
    if (rest * others == total) {
      *open = rest;
      return n.b.reshape(x, to);
    }
  }
  // The shape rule finds what it can.
  *open = -1;
  return n.b.make<ops::Reshape>({x, n.b.shape_value(to, {x}, false)}, [](auto&) {});
}

}  // namespace

Result<Values> view(Node& n) {
  const ValueId x = n.tensor("self");
  if (n.has("dtype")) {  // the same bits as another type
    const DType to = n.dtype("dtype", DType::kF32);
    if (!n.b.ok()) return n.done(kNoId);
    if (dtype_bits(to) != dtype_bits(n.b.dtype(x)))
      return unsupported("views of an element type of another size are not supported");
    return n.done(n.b.make<ops::BitCast>({x}, [&](ops::BitCast& b) { b.to = to; }));
  }
  return n.done(reshaped(n, x, n.dims(n.has("shape") ? "shape" : "size")));
}

Result<Values> flatten(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t from = n.axis(n.i("start_dim", 0), n.b.rank(x)), to = n.axis(n.i("end_dim", -1), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (s.empty()) return n.done(n.b.reshape(x, {1}));
  if (from > to) return damaged("start_dim is behind end_dim");
  Shape target(s.begin(), s.begin() + from);
  target.push_back(product({s.begin() + from, s.begin() + to + 1}));
  target.insert(target.end(), s.begin() + to + 1, s.end());
  return n.done(n.b.reshape(x, target));
}

Result<Values> unflatten(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  const Shape sizes = n.dims("sizes");
  if (!n.b.ok()) return n.done(kNoId);
  Shape target = n.b.shape(x);
  target.erase(target.begin() + axis);
  target.insert(target.begin() + axis, sizes.begin(), sizes.end());
  return n.done(reshaped(n, x, target));
}

// Without a dimension all of size 1; a given one only if it is.
Result<Values> squeeze(Node& n) {
  const ValueId x = n.tensor("self");
  const Shape s = n.b.shape(x);
  std::vector<int64_t> axes;
  if (n.has("dim"))
    axes = n.axes(n.ints("dim"), n.b.rank(x));
  else
    for (size_t d = 0; d < s.size(); ++d) axes.push_back(static_cast<int64_t>(d));
  if (!n.b.ok()) return n.done(kNoId);
  Shape target;
  for (size_t d = 0; d < s.size(); ++d)
    if (!s[d].equals(1) || !std::ranges::binary_search(axes, static_cast<int64_t>(d))) target.push_back(s[d]);
  return n.done(n.b.reshape(x, target));
}

Result<Values> unsqueeze(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x) + 1);
  if (!n.b.ok()) return n.done(kNoId);
  Shape target = n.b.shape(x);
  target.insert(target.begin() + axis, Dim(1));
  return n.done(n.b.reshape(x, target));
}

Result<Values> permute(Node& n) {
  const ValueId x = n.tensor("self");
  std::vector<int64_t> perm = n.ints("dims");
  for (int64_t& p : perm) p = n.axis(p, n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  if (static_cast<int64_t>(perm.size()) != n.b.rank(x)) return damaged("dims has another length than the rank");
  return n.done(n.b.transpose(x, std::move(perm)));
}

// Two dimensions exchanged: the given ones, or (t, mT, numpy_T) the last two or all.
Result<Values> transpose(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t rank = n.b.rank(x);
  if (!n.b.ok() || rank == 0) return n.done(x);
  std::vector<int64_t> perm(static_cast<size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  const bool named = n.canonical().empty();
  if (n.canonical() == "all") {
    std::ranges::reverse(perm);
  } else if (named || rank > 1) {
    const bool axes = n.has("axis0");
    const int64_t a = n.axis(named ? n.i(axes ? "axis0" : "dim0", 0) : -2, rank);
    const int64_t b = n.axis(named ? n.i(axes ? "axis1" : "dim1", 0) : -1, rank);
    if (!n.b.ok()) return n.done(kNoId);
    std::swap(perm[static_cast<size_t>(a)], perm[static_cast<size_t>(b)]);
  }
  return n.done(n.b.transpose(x, std::move(perm)));
}

Result<Values> movedim(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t rank = n.b.rank(x);
  auto from = n.ints("source"), to = n.ints("destination");
  for (auto* axes : {&from, &to})
    for (int64_t& a : *axes) a = n.axis(a, rank);
  if (!n.b.ok()) return n.done(kNoId);
  std::vector<int64_t> perm(static_cast<size_t>(rank), -1);
  if (from.size() != to.size()) return damaged("source and destination differ in length");
  for (size_t i = 0; i < from.size(); ++i) perm[static_cast<size_t>(to[i])] = from[i];
  int64_t next = 0;
  for (int64_t& p : perm) {
    if (p >= 0) continue;
    while (std::ranges::find(from, next) != from.end()) ++next;
    p = next++;
  }
  return n.done(n.b.transpose(x, std::move(perm)));
}

Result<Values> expand(Node& n) {
  const ValueId x = n.tensor("self");
  Shape to = n.canonical() == "as" ? n.b.shape(n.tensor("other")) : n.dims("size");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (to.size() < s.size()) return damaged("the size has fewer dimensions than the tensor");
  const size_t added = to.size() - s.size();
  for (size_t d = 0; d < to.size(); ++d)
    if (to[d].equals(-1)) {
      if (d < added) return damaged("a new dimension has no size");
      to[d] = s[d - added];
    }
  if (to == s) return n.done(x);
  return n.done(n.b.expand(x, to));
}

Result<Values> shape_as(Node& n) {
  const ValueId x = n.tensor("self"), other = n.tensor("other");
  if (!n.b.ok()) return n.done(kNoId);
  return n.done(n.b.reshape(x, n.b.shape(other)));
}

Result<Values> repeat(Node& n) {
  ValueId x = n.tensor("self");
  Shape times = n.dims(n.has("dims") ? "dims" : "repeats");
  if (!n.b.ok()) return n.done(kNoId);
  Shape s = n.b.shape(x);
  while (times.size() < s.size()) times.insert(times.begin(), Dim(1));
  if (times.size() > s.size()) {
    s.insert(s.begin(), times.size() - s.size(), Dim(1));
    x = n.b.reshape(x, s);
  }
  return n.done(n.b.add(std::make_shared<ops::Tile>(), {x, n.b.shape_value(times, {x}, false)}));
}

// Every element so many times in a row.
Result<Values> repeat_interleave(Node& n) {
  ValueId x = n.tensor("self");
  if (n.is_tensor("repeats")) {
    const auto known = integers_of(n.b.info(n.tensor("repeats")));
    if (!known || known->empty() || std::ranges::adjacent_find(*known, std::not_equal_to{}) != known->end())
      return unsupported("repeats that differ from element to element are not supported");
  }
  const Dim times =
      n.is_tensor("repeats") ? Dim((*integers_of(n.b.info(n.tensor("repeats"))))[0]) : n.dim("repeats", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (!n.has("dim")) x = n.b.reshape(x, {product(n.b.shape(x))});
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  Shape wide = n.b.shape(x), full = wide;
  wide.insert(wide.begin() + axis + 1, Dim(1));
  Shape target = wide;
  target[static_cast<size_t>(axis) + 1] = times;
  full[static_cast<size_t>(axis)] = full[static_cast<size_t>(axis)] * times;
  const ValueId spread = n.b.expand(n.b.reshape(x, wide), target);
  return n.done(n.b.ok() ? n.b.reshape(spread, full) : kNoId);
}

namespace {

ValueId reversed(Node& n, ValueId x, const std::vector<int64_t>& axes) {
  if (!n.b.ok() || axes.empty()) return x;
  const std::vector<int64_t> start(axes.size(), -1), step(axes.size(), -1);
  const std::vector<int64_t> end(axes.size(), std::numeric_limits<int64_t>::min());
  return n.b.add(std::make_shared<ops::Slice>(), {x, n.b.i64s(start), n.b.i64s(end), n.b.i64s(axes), n.b.i64s(step)});
}

}  // namespace

// The row names the dimension of fliplr and flipud.
Result<Values> flip(Node& n) {
  const ValueId x = n.tensor("self");
  if (n.canonical() == "rotate") {  // quarter turns from the first of two dimensions to the second
    const auto dims = n.ints("dims");
    if (!n.b.ok()) return n.done(kNoId);
    if (dims.size() != 2) return damaged("a rotation needs two dimensions");
    const int64_t a = n.axis(dims[0], n.b.rank(x)), b = n.axis(dims[1], n.b.rank(x)), turns = (n.i("k", 1) % 4 + 4) % 4;
    if (!n.b.ok() || turns == 0) return n.done(x);
    if (turns == 2) return n.done(reversed(n, x, {a, b}));
    std::vector<int64_t> perm(static_cast<size_t>(n.b.rank(x)));
    std::iota(perm.begin(), perm.end(), 0);
    std::swap(perm[static_cast<size_t>(a)], perm[static_cast<size_t>(b)]);
    return n.done(turns == 1 ? n.b.transpose(reversed(n, x, {b}), perm) : reversed(n, n.b.transpose(x, perm), {b}));
  }
  const auto given = n.canonical() == "lr"   ? std::vector<int64_t>{1}
                     : n.canonical() == "ud" ? std::vector<int64_t>{0}
                                             : n.ints("dims");
  return n.done(reversed(n, x, n.axes(given, n.b.rank(x))));
}

Result<Values> roll(Node& n) {
  ValueId x = n.tensor("self");
  const auto shifts = n.ints("shifts"), dims = n.ints("dims");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (dims.empty() && shifts.size() == 1) x = n.b.reshape(x, {product(s)});
  for (size_t i = 0; i < shifts.size(); ++i) {
    if (i >= dims.size() && !(dims.empty() && i == 0)) return damaged("dims is too short");
    const int64_t axis = n.axis(dims.empty() ? 0 : dims[i], n.b.rank(x));
    if (!n.b.ok()) return n.done(kNoId);
    const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
    if (!size) return unsupported("the dimension that is rolled must be known");
    if (*size == 0) continue;
    const int64_t by = (shifts[i] % *size + *size) % *size;
    if (by == 0) continue;
    x = n.b.concat({n.b.slice(x, axis, *size - by, *size), n.b.slice(x, axis, 0, *size - by)}, axis);
  }
  return n.done(n.b.ok() ? n.b.reshape(x, s) : kNoId);
}

// [.., C * r * r, H, W] → [.., C, H * r, W * r]
Result<Values> pixel_shuffle(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t r = n.i("upscale_factor", 1);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (r < 1 || r > 1024 || s.size() < 3) return damaged("upscale_factor or rank is out of range");
  const Shape head(s.begin(), s.end() - 3);
  const Dim c = floor_div(s[s.size() - 3], r * r), batch = product(head);
  const Dim &h = s[s.size() - 2], &w = s.back();
  const ValueId split = n.b.reshape(x, {batch, c, r, r, h, w});
  const ValueId moved = n.b.transpose(split, {0, 1, 4, 2, 5, 3});
  Shape target = head;
  target.insert(target.end(), {c, h * r, w * r});
  return n.done(n.b.ok() ? n.b.reshape(moved, target) : kNoId);
}

Result<Values> pixel_unshuffle(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t r = n.i("downscale_factor", 1);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (r < 1 || r > 1024 || s.size() < 3) return damaged("downscale_factor or rank is out of range");
  const Shape head(s.begin(), s.end() - 3);
  const Dim& c = s[s.size() - 3];
  const Dim h = floor_div(s[s.size() - 2], r), w = floor_div(s.back(), r);
  const ValueId split = n.b.reshape(x, {product(head), c, h, r, w, r});
  const ValueId moved = n.b.transpose(split, {0, 1, 3, 5, 2, 4});
  Shape target = head;
  target.insert(target.end(), {c * (r * r), h, w});
  return n.done(n.b.ok() ? n.b.reshape(moved, target) : kNoId);
}

Result<Values> channel_shuffle(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t groups = n.i("groups", 1);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (groups < 1 || s.size() < 3) return damaged("groups or rank is out of range");
  const ValueId split = n.b.reshape(x, {s[0], groups, floor_div(s[1], groups), product({s.begin() + 2, s.end()})});
  return n.done(n.b.reshape(n.b.transpose(split, {0, 2, 1, 3}), s));
}

// The elements where two dimensions have the same coordinate, as the last dimension.
Result<Values> diagonal(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t rank = n.b.rank(x), a = n.axis(n.i("dim1", 0), rank), b = n.axis(n.i("dim2", 1), rank);
  if (!n.b.ok()) return n.done(kNoId);
  const auto rows = n.b.shape(x)[static_cast<size_t>(a)].as_const();
  const auto columns = n.b.shape(x)[static_cast<size_t>(b)].as_const();
  const int64_t offset = n.i("offset", 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (!rows || !columns) return unsupported("only diagonals of known size are supported");
  if (a == b || offset < -(int64_t{1} << 31) || offset > int64_t{1} << 31) return damaged("no such diagonal");
  std::vector<int64_t> perm;
  Shape head;
  for (int64_t d = 0; d < rank; ++d)
    if (d != a && d != b) {
      perm.push_back(d);
      head.push_back(n.b.shape(x)[static_cast<size_t>(d)]);
    }
  perm.insert(perm.end(), {a, b});
  const int64_t below = std::max<int64_t>(-offset, 0), beside = std::max<int64_t>(offset, 0);
  const int64_t count = std::max<int64_t>(std::min(*rows - below, *columns - beside), 0);
  const int64_t first = count > 0 ? below * *columns + beside : 0;
  // In a row of the flattened matrix every (columns + 1)th element.
  ValueId v = n.b.transpose(x, perm);
  Shape flat = head;
  flat.emplace_back(*rows * *columns);
  v = n.b.reshape(v, flat);
  const auto last = static_cast<int64_t>(flat.size()) - 1;
  return n.done(n.b.add(
      std::make_shared<ops::Slice>(),
      {v, n.b.i64s({first}), n.b.i64s({first + count * (*columns + 1)}), n.b.i64s({last}), n.b.i64s({*columns + 1})}));
}

// diag_embed (and diag of a vector): the last dimension as a diagonal of two; diag of a matrix is its diagonal, trace
// the sum of that.
Result<Values> diag(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const bool embed = n.canonical() == "embed";
  const int64_t rank = n.b.rank(x);
  if (rank == 0) return damaged("there is no dimension");
  if (!embed && rank == 2) {
    LATHE_TRY(const Values v, diagonal(n));
    if (n.canonical() != "trace") return v;
    return n.done(
        n.b.reduce("sum", dtype_info(n.b.dtype(x)).is_float ? v[0] : n.b.cast(v[0], DType::kI64), {0}, false));
  }
  if (!embed && rank != 1) return damaged("a vector or a matrix is needed");
  const auto size = n.b.shape(x).back().as_const();
  const int64_t offset = embed ? n.i("offset", 0) : n.i("diagonal", 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (!size || *size > 1 << 14 || std::abs(offset) > 1 << 14) return unsupported("the size must be known and small");
  if (n.i("dim1", -2) != -2 || n.i("dim2", -1) != -1) return unsupported("only the last two dimensions are supported");
  const int64_t side = *size + std::abs(offset);
  // One row of the identity for each element, shifted.
  Tensor spread = Tensor::zeros(DType::kBool, {side, side});
  for (int64_t i = 0; i < *size; ++i)
    spread.set_i64((i + std::max<int64_t>(-offset, 0)) * side + i + std::max<int64_t>(offset, 0), 1);
  Shape padded = n.b.shape(x), row = padded;
  padded.back() = side;
  row.back() = 1;
  ValueId v = x;
  if (side > *size) {
    Shape gap = n.b.shape(x);
    gap.back() = side - *size;
    const ValueId zeros = n.b.expand(n.b.scalar(n.b.dtype(x), 0), gap);
    // The element of column i stands at i less the offset to the right.
    v = n.b.concat(offset > 0 ? Values{zeros, x} : Values{x, zeros}, rank - 1);
  }
  if (!n.b.ok()) return n.done(kNoId);
  Shape across = padded;
  across.insert(across.end() - 1, Dim(1));
  return n.done(
      n.b.op("Where", {n.b.constant(std::move(spread)), n.b.reshape(v, across), n.b.scalar(n.b.dtype(x), 0)}));
}

// atleast_1d, atleast_2d, atleast_3d: the row names the rank.
Result<Values> at_least(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const auto rank = static_cast<size_t>(n.canonical()[0] - '0');
  Shape s = n.b.shape(x);
  if (rank == 3 && s.size() == 2) s.emplace_back(1);
  if (rank == 3 && s.size() == 1) s.emplace_back(1);
  while (s.size() < rank) s.insert(s.begin(), Dim(1));
  return n.done(n.b.reshape(x, s));
}

Result<Values> broadcast_tensors(Node& n) {
  Values xs = n.tensors("tensors");
  if (!n.b.ok()) return n.done(kNoId);
  Shape s;
  for (const ValueId v : xs) {
    LATHE_TRY(s, ops::broadcast(s, n.b.shape(v)));
  }
  for (ValueId& v : xs)
    if (n.b.shape(v) != s) v = n.b.expand(v, s);
  return n.done(std::move(xs));
}

}  // namespace lathe::pt2
