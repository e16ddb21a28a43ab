// SPDX-License-Identifier: Apache-2.0
// Operators that select, join or move parts of tensors.
#include <algorithm>

#include "import/tensorflow/handlers.h"
#include "ops/concat.h"
#include "ops/gather.h"
#include "ops/gather_nd.h"
#include "ops/non_max_suppression.h"
#include "ops/nonzero.h"
#include "ops/one_hot.h"
#include "ops/pad.h"
#include "ops/scatter_nd.h"
#include "ops/slice.h"
#include "ops/tile.h"
#include "ops/top_k.h"

namespace lathe::tensorflow {

namespace {

constexpr int64_t kToTheEnd = INT64_MAX;

// Slices with one start, end and step for each of `axes`; the bounds are vectors.
ValueId cut(Node& n, ValueId x, ValueId starts, ValueId ends, const std::vector<int64_t>& axes,
            const std::vector<int64_t>& steps) {
  return n.b.add(std::make_shared<ops::Slice>(), {x, starts, ends, n.b.i64s(axes), n.b.i64s(steps)});
}

ValueId reversed(Node& n, ValueId x, int64_t axis) {
  return cut(n, x, n.b.i64s({-1}), n.b.i64s({INT64_MIN}), {axis}, {-1});
}

}  // namespace

Result<Items> pack(Node& n) {
  LATHE_CHECK(n.needs(1));
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0) + 1));
  std::vector<ValueId> parts;
  for (const Item& i : n.items()) {
    Shape s = n.b.shape(i.value);
    if (static_cast<int64_t>(s.size()) < axis) return damaged("the inputs differ in rank");
    s.insert(s.begin() + axis, Dim(1));
    parts.push_back(n.b.reshape(i.value, s));
  }
  return n.done(parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), axis));
}

Result<Items> unpack(Node& n) {
  LATHE_CHECK(n.needs(1));
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0)));
  const int64_t count = n.i("num", 0);
  Shape rest = n.shape(0);
  if (const auto d = rest[static_cast<size_t>(axis)].as_const(); count < 0 || count > 65536 || (d && *d != count))
    return damaged("num " + std::to_string(count) + " does not fit the input " + shape_str(rest));
  rest.erase(rest.begin() + axis);
  Values out;
  for (int64_t i = 0; i < count; ++i) out.push_back(n.b.reshape(n.b.slice(n.in(0), axis, i, i + 1), rest));
  return n.done(out);
}

// The axis is the last input, of the old Concat the first.
Result<Items> concat(Node& n) {
  LATHE_CHECK(n.needs(2));
  const bool first = n.op() == "Concat";
  LATHE_TRY(const int64_t given, n.integer(first ? 0 : n.input_count() - 1, "the axis"));
  Values parts = n.values();
  parts.erase(first ? parts.begin() : parts.end() - 1);
  LATHE_TRY(const int64_t axis, Node::axis(given, n.b.rank(parts[0])));
  return n.done(parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), axis));
}

// Split: axis, x. SplitV: x, sizes, axis.
Result<Items> split(Node& n) {
  const bool sized = n.op() == "SplitV";
  LATHE_CHECK(n.needs(sized ? 3 : 2));
  const ValueId x = n.in(sized ? 0 : 1);
  LATHE_TRY(const int64_t given, n.integer(sized ? 2 : 0, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.b.rank(x)));
  const auto whole = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  const int64_t parts = n.i("num_split", 0);
  if (parts < 1 || parts > 65536) return damaged("num_split " + std::to_string(parts) + " is out of range");
  std::vector<int64_t> sizes(static_cast<size_t>(parts), whole.value_or(0) / parts);
  if (sized) {
    LATHE_TRY(sizes, n.integers(1, "the sizes"));
    if (static_cast<int64_t>(sizes.size()) != parts) return damaged("num_split does not fit the sizes");
    int64_t known = 0;
    for (const int64_t s : sizes)
      if (s > 0 && __builtin_add_overflow(known, s, &known)) return damaged("the sizes are too large");
    for (int64_t& s : sizes) {
      if (s == -1 && !whole) return unsupported("the split dimension must be constant");
      if (s == -1) s = *whole - known;
      if (s < 0) return damaged("a size is negative");
    }
  } else if (!whole) {
    return unsupported("the split dimension must be constant");
  } else if (*whole % parts != 0) {
    return damaged(std::to_string(parts) + " parts do not divide " + std::to_string(*whole));
  }
  Values out;
  int64_t at = 0;
  for (const int64_t s : sizes) {
    out.push_back(n.b.slice(x, axis, at, at + s));
    at += s;
  }
  return n.done(out);
}

// begin and size; a size of -1 reaches to the end.
Result<Items> slice(Node& n) {
  LATHE_CHECK(n.needs(3));
  const auto rank = n.rank(0);
  std::vector<int64_t> axes, steps;
  for (int64_t d = 0; d < rank; ++d) axes.push_back(d);
  steps.assign(axes.size(), 1);
  if (n.shape(1) != Shape{rank} || n.shape(2) != Shape{rank}) return damaged("begin or size does not fit the input");
  const ValueId begin = n.b.cast(n.in(1), DType::kI64), size = n.b.cast(n.in(2), DType::kI64);
  const auto from = content_of(n.b.info(begin)), count = content_of(n.b.info(size));
  if (from && count) {
    const auto starts = static_dims(*from);
    std::vector<int64_t> ends;
    for (size_t d = 0; starts && d < count->size(); ++d) {
      const Dim end = (*count)[d].equals(-1) || (*count)[d] + (*from)[d] == n.shape(0)[d] ? Dim(kToTheEnd)
                                                                                          : (*count)[d] + (*from)[d];
      if (end.is_const()) ends.push_back(end.value());
    }
    if (starts && ends.size() == axes.size())
      return n.done(cut(n, n.in(0), n.b.i64s(*starts), n.b.i64s(ends), axes, steps));
  }
  const ValueId zero = n.b.scalar(DType::kI64, 0);
  const ValueId end =
      n.b.op("Where", {n.b.op("Less", {size, zero}), n.b.scalar(DType::kI64, 1e15), n.b.op("Add", {begin, size})});
  return n.done(cut(n, n.in(0), begin, end, axes, steps));
}

// x[begin:end:strides] with the masks of tf.strided_slice: bit i of begin_mask and end_mask leaves that bound out,
// ellipsis_mask stands for all dimensions not mentioned, new_axis_mask inserts one, shrink_axis_mask takes one element.
Result<Items> strided_slice(Node& n) {
  LATHE_CHECK(n.needs(4));
  LATHE_TRY(const auto strides, n.integers(3, "strides"));
  const auto count = static_cast<int64_t>(strides.size());
  if (count > 32 || n.shape(1) != Shape{count} || n.shape(2) != Shape{count})
    return damaged("begin, end and strides differ in length");
  const auto bit = [&](std::string_view mask, int64_t i) { return ((n.i(mask, 0) >> i) & 1) != 0; };
  int64_t mentioned = 0, ellipses = 0;
  for (int64_t i = 0; i < count; ++i) {
    ellipses += bit("ellipsis_mask", i);
    mentioned += !bit("ellipsis_mask", i) && !bit("new_axis_mask", i);
  }
  if (ellipses > 1 || mentioned > n.rank(0)) return damaged("the masks do not fit the input " + shape_str(n.shape(0)));
  const auto begins = content_of(n.b.info(n.in(1))), ends = content_of(n.b.info(n.in(2)));
  // One bound: a number where it is known, else read when running.
  struct Bound {
    std::optional<int64_t> number;
    ValueId value = kNoId;
  };
  const auto bound = [&](size_t input, const std::optional<std::vector<Dim>>& known, int64_t i) -> Bound {
    if (known)
      if (const auto v = (*known)[static_cast<size_t>(i)].as_const()) return {v, kNoId};
    return {std::nullopt, n.b.slice(n.b.cast(n.in(input), DType::kI64), 0, i, i + 1)};
  };
  std::vector<Bound> starts, stops;
  std::vector<int64_t> axes, steps;
  enum class Keep : uint8_t { kYes, kDrop, kNew };
  std::vector<Keep> kept;
  int64_t axis = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (bit("ellipsis_mask", i)) {
      const int64_t skipped = n.rank(0) - mentioned;
      axis += skipped;
      kept.insert(kept.end(), static_cast<size_t>(skipped), Keep::kYes);
      continue;
    }
    if (bit("new_axis_mask", i)) {
      kept.push_back(Keep::kNew);
      continue;
    }
    const int64_t step = strides[static_cast<size_t>(i)];
    if (step == 0) return damaged("a stride is 0");
    const bool shrink = bit("shrink_axis_mask", i);
    Bound from = bit("begin_mask", i) && !shrink ? Bound{step > 0 ? 0 : -1} : bound(1, begins, i);
    Bound to = bit("end_mask", i) ? Bound{step > 0 ? kToTheEnd : INT64_MIN} : bound(2, ends, i);
    if (shrink) {  // one element, wherever `end` is
      if (from.number)
        to = {*from.number == -1 ? kToTheEnd : *from.number + 1};
      else
        to = {std::nullopt, n.b.op("Add", {from.value, n.b.i64s({1})})};
    }
    kept.push_back(shrink ? Keep::kDrop : Keep::kYes);
    const bool whole = !shrink && step == 1 && from.number && *from.number == 0 && to.number && *to.number == kToTheEnd;
    if (!whole) {
      axes.push_back(axis);
      steps.push_back(shrink ? 1 : step);
      starts.push_back(from);
      stops.push_back(to);
    }
    ++axis;
  }
  kept.insert(kept.end(), static_cast<size_t>(n.rank(0) - axis), Keep::kYes);
  const auto vector = [&](const std::vector<Bound>& bounds) {
    std::vector<int64_t> numbers;
    std::vector<ValueId> parts;
    for (const Bound& v : bounds) {
      if (v.number) numbers.push_back(*v.number);
      parts.push_back(v.number ? n.b.i64s({*v.number}) : v.value);
    }
    if (numbers.size() == bounds.size()) return n.b.i64s(numbers);
    return parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), 0);
  };
  ValueId y = n.in(0);
  if (!axes.empty()) y = cut(n, y, vector(starts), vector(stops), axes, steps);
  if (!n.b.ok()) return n.done(y);
  Shape shape;
  const Shape s = n.b.shape(y);
  size_t from = 0;
  for (const Keep k : kept) {
    if (k == Keep::kNew) {
      shape.emplace_back(1);
    } else {
      if (k == Keep::kYes)
        shape.push_back(s[from]);
      else if (s[from].equals(0))
        return damaged("an index is out of range for " + shape_str(n.shape(0)));
      ++from;
    }
  }
  return n.done(n.b.reshape(y, shape));
}

namespace {

// [rank, 2] pairs as begins, then ends.
Result<std::vector<int64_t>> paddings(Node& n) {
  LATHE_TRY(const auto pairs, n.integers(1, "paddings"));
  const auto rank = static_cast<size_t>(n.rank(0));
  if (pairs.size() != 2 * rank) return damaged("paddings do not fit the input");
  std::vector<int64_t> pads(2 * rank);
  for (size_t d = 0; d < rank; ++d) {
    pads[d] = pairs[2 * d];
    pads[rank + d] = pairs[2 * d + 1];
    for (const int64_t p : {pads[d], pads[rank + d]})
      if (p < 0 || p >= int64_t{1} << 31) return damaged("paddings are out of range");
  }
  return pads;
}

}  // namespace

Result<Items> pad(Node& n) {
  LATHE_TRY(const auto pads, paddings(n));
  Values inputs = {n.in(0), n.b.i64s(pads)};
  if (n.input_count() > 2) inputs.push_back(n.in(2));
  return n.done(n.b.make<ops::Pad>(std::move(inputs), [](ops::Pad&) {}));
}

// REFLECT leaves the edge out; SYMMETRIC repeats it, which is a join with the reversed ends.
Result<Items> mirror_pad(Node& n) {
  LATHE_TRY(const auto pads, paddings(n));
  if (n.s("mode", "") == "REFLECT")
    return n.done(n.b.make<ops::Pad>({n.in(0), n.b.i64s(pads)}, [](ops::Pad& p) { p.mode = "reflect"; }));
  ValueId x = n.in(0);
  const auto rank = static_cast<size_t>(n.rank(0));
  for (size_t d = 0; d < rank; ++d) {
    const auto axis = static_cast<int64_t>(d);
    const int64_t before = pads[d], after = pads[rank + d];
    if (const auto size = n.shape(0)[d].as_const(); size && (before > *size || after > *size))
      return damaged("paddings are larger than the input");
    std::vector<ValueId> parts;
    if (before > 0) parts.push_back(reversed(n, n.b.slice(x, axis, 0, before), axis));
    parts.push_back(x);
    if (after > 0) parts.push_back(reversed(n, n.b.slice(x, axis, -after, kToTheEnd), axis));
    if (parts.size() > 1) x = n.b.concat(std::move(parts), axis);
  }
  return n.done(x);
}

Result<Items> tile(Node& n) {
  LATHE_CHECK(n.needs(2));
  return n.done(n.b.add(std::make_shared<ops::Tile>(), {n.in(0), n.b.cast(n.in(1), DType::kI64)}));
}

// Gather, GatherV2 (axis is an input, batch_dims) and ResourceGather, whose variable has been read.
Result<Items> gather(Node& n) {
  LATHE_CHECK(n.needs(2));
  int64_t axis = 0, batch = n.i("batch_dims", 0);
  if (n.input_count() > 2) {
    LATHE_TRY(axis, n.integer(2, "the axis"));
  }
  LATHE_TRY(axis, Node::axis(axis, std::max<int64_t>(n.rank(0), 1)));
  if (batch < 0) batch += n.rank(1);
  if (batch == 0) return n.done(n.b.make<ops::Gather>({n.in(0), n.in(1)}, [&](ops::Gather& g) { g.axis = axis; }));
  if (axis != batch) return unsupported("batch_dims with another axis than the one after them is not supported");
  Shape s = n.shape(1);
  s.emplace_back(1);
  const ValueId indices = n.b.cast(n.b.reshape(n.in(1), s), DType::kI64);
  return n.done(n.b.make<ops::GatherND>({n.in(0), indices}, [&](ops::GatherND& g) { g.batch_dims = batch; }));
}

Result<Items> gather_nd(Node& n) {
  LATHE_CHECK(n.needs(2));
  return n.done(n.b.make<ops::GatherND>({n.in(0), n.b.cast(n.in(1), DType::kI64)},
                                        [&](ops::GatherND& g) { g.batch_dims = n.i("batch_dims", 0); }));
}

// ScatterNd: indices, updates, shape: added to zeros. TensorScatter…: x, indices, updates.
Result<Items> scatter(Node& n) {
  LATHE_CHECK(n.needs(3));
  const bool zeros = n.op() == "ScatterNd";
  const ValueId updates = n.in(zeros ? 1 : 2);
  ValueId x = n.in(0);
  if (zeros) x = n.b.op("Expand", {n.b.scalar(n.b.dtype(updates), 0), n.b.cast(n.in(2), DType::kI64)});
  const ValueId indices = n.b.cast(n.in(zeros ? 0 : 1), DType::kI64);
  return n.done(
      n.b.make<ops::ScatterND>({x, indices, updates}, [&](ops::ScatterND& s) { s.reduction = n.canonical(); }));
}

Result<Items> reverse(Node& n) {
  LATHE_TRY(const auto axes, n.integers(1, "the axes"));
  ValueId x = n.in(0);
  for (const int64_t given : axes) {
    LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
    x = reversed(n, x, axis);
  }
  return n.done(x);
}

Result<Items> top_k(Node& n) {
  LATHE_CHECK(n.needs(2));
  if (n.rank(0) < 1) return damaged("takes a tensor of rank 1 at least");
  const ValueId k = n.b.reshape(n.b.cast(n.in(1), DType::kI64), {1});
  auto op = std::make_shared<ops::TopK>();
  op->axis = n.rank(0) - 1;
  Values out = n.b.add_all(std::move(op), {n.in(0), k});
  if (out.size() == 2) out[1] = n.b.cast(out[1], DType::kI32);
  return n.done(out);
}

// A negative index is no index here.
Result<Items> one_hot(Node& n) {
  LATHE_CHECK(n.needs(4));
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0) + 1));
  const ValueId depth = n.b.cast(n.in(1), DType::kI64);
  ValueId indices = n.b.cast(n.in(0), DType::kI64);
  indices = n.b.op("Where", {n.b.op("Less", {indices, n.b.i64(0)}), depth, indices});
  const ValueId values = n.b.concat({n.b.reshape(n.in(3), {1}), n.b.reshape(n.in(2), {1})}, 0);
  return n.done(
      n.b.make<ops::OneHot>({indices, n.b.reshape(depth, {1}), values}, [&](ops::OneHot& o) { o.axis = axis; }));
}

// The coordinates of what is not zero, one a row.
Result<Items> where(Node& n) {
  LATHE_CHECK(n.needs(1));
  return n.done(n.b.transpose(n.b.add(std::make_shared<ops::NonZero>(), {n.in(0)}), {1, 0}));
}

// boxes, scores, max_output_size, iou_threshold, score_threshold
Result<Items> non_max_suppression(Node& n) {
  LATHE_CHECK(n.needs(4));
  if (n.rank(0) != 2 || n.rank(1) != 1) return damaged("takes boxes and one score for each");
  const Dim count = n.shape(0)[0];
  const ValueId boxes = n.b.reshape(n.in(0), {1, count, 4}), scores = n.b.reshape(n.in(1), {1, 1, n.shape(1)[0]});
  Values inputs = {boxes, scores, n.b.reshape(n.b.cast(n.in(2), DType::kI64), {1}), n.b.reshape(n.in(3), {1})};
  if (n.input_count() > 4) inputs.push_back(n.b.reshape(n.in(4), {1}));
  const ValueId chosen = n.b.add(std::make_shared<ops::NonMaxSuppression>(), std::move(inputs));
  if (!n.b.ok()) return n.done(chosen);
  const Dim found = n.b.shape(chosen)[0];
  return n.done(n.b.cast(n.b.reshape(n.b.slice(chosen, 1, 2, 3), {found}), DType::kI32));
}

}  // namespace lathe::tensorflow
