// SPDX-License-Identifier: Apache-2.0
// Operators that join, cut, pad, repeat or reverse tensors.
#include <algorithm>

#include "import/tflite/handlers.h"
#include "ops/gather.h"
#include "ops/gather_elements.h"
#include "ops/pad.h"
#include "ops/slice.h"
#include "ops/tile.h"

namespace lathe::tflite {

namespace {

ValueId gathered(Node& n, ValueId x, ValueId indices, int64_t axis) {
  return n.b.make<ops::Gather>({x, indices}, [&](ops::Gather& g) { g.axis = axis; });
}

bool in_31_bits(int64_t v) { return v > -(int64_t{1} << 31) && v < int64_t{1} << 31; }

}  // namespace

Result<Values> concatenation(Node& n) {
  if (n.input_count() == 0) return damaged("there are no inputs");
  const auto* o = n.options<fb::ConcatenationOptions>();
  LATHE_TRY(const int64_t axis, Node::axis(o ? o->axis() : 0, n.rank(0)));
  const ValueId y = n.input_count() == 1 ? n.in(0) : n.b.concat(n.inputs(), axis);
  if (n.quant_out(0)) return n.done(y);
  return n.done(activate(n, y, o ? o->activation() : fb::Activation::NONE));
}

Result<Values> pack(Node& n) {
  if (n.input_count() == 0) return damaged("there are no inputs");
  const auto* o = n.options<fb::PackOptions>();
  LATHE_TRY(const int64_t axis, Node::axis(o ? o->axis() : 0, n.rank(0) + 1));
  Values parts;
  for (const ValueId v : n.inputs()) {
    Shape s = n.b.shape(v);
    if (static_cast<int64_t>(s.size()) < axis) return damaged("the inputs differ in rank");
    s.insert(s.begin() + axis, Dim(1));
    parts.push_back(n.b.reshape(v, s));
  }
  return n.done(parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), axis));
}

Result<Values> unpack(Node& n) {
  const auto* o = n.options<fb::UnpackOptions>();
  LATHE_TRY(const int64_t axis, Node::axis(o ? o->axis() : 0, n.rank(0)));
  Shape s = n.shape(0);
  const Dim size = s[static_cast<size_t>(axis)];
  const auto parts = static_cast<int64_t>(n.output_count());
  if (size.is_const() && size.value() != parts)
    return damaged("a dimension of " + size.str() + " gives as many outputs, not " + std::to_string(parts));
  s.erase(s.begin() + axis);
  Values out;
  for (int64_t i = 0; i < parts; ++i) out.push_back(n.b.reshape(n.b.slice(n.in(0), axis, i, i + 1), s));
  return n.done(std::move(out));
}

namespace {

Result<Values> cut(Node& n, ValueId x, int64_t axis, const std::vector<int64_t>& sizes) {
  Values out;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    out.push_back(n.b.slice(x, axis, at, at + size));
    at += size;
  }
  return n.done(std::move(out));
}

}  // namespace

// Inputs: axis, x.
Result<Values> split(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(0, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(1)));
  const auto size = n.shape(1)[static_cast<size_t>(axis)].as_const();
  const auto parts = static_cast<int64_t>(n.output_count());
  if (!size) return unsupported("the dimension that is split is not constant");
  if (parts == 0 || *size % parts != 0)
    return damaged("a dimension of " + std::to_string(*size) + " cannot be split into " + std::to_string(parts));
  return cut(n, n.in(1), axis, std::vector<int64_t>(static_cast<size_t>(parts), *size / parts));
}

// Inputs: x, sizes (one may be -1: the rest), axis.
Result<Values> split_v(Node& n) {
  LATHE_TRY(auto sizes, n.integers(1, "the sizes"));
  LATHE_TRY(const int64_t given, n.integer(2, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
  const auto size = n.shape(0)[static_cast<size_t>(axis)].as_const();
  if (!size) return unsupported("the dimension that is split is not constant");
  int64_t sum = 0, open = 0;
  for (const int64_t s : sizes) {
    if (s < -1 || !in_31_bits(s)) return damaged("a size is out of range");
    (s == -1 ? open : sum) += s == -1 ? 1 : s;
  }
  if (sizes.size() != n.output_count() || open > 1 || sum > *size || (open == 0 && sum != *size))
    return damaged("the sizes do not add up to " + std::to_string(*size));
  for (int64_t& s : sizes)
    if (s == -1) s = *size - sum;
  return cut(n, n.in(0), axis, sizes);
}

namespace {

/// One end of a range of a slice: known, or element `at` of a vector.
struct Bound {
  std::optional<int64_t> known;
  ValueId vector = kNoId;
  int64_t at = 0;
  ValueId value(Node& n) const { return known ? n.b.i64s({*known}) : n.b.slice(vector, 0, at, at + 1); }
};

std::vector<Bound> bounds(Node& n, size_t input, size_t count) {
  const ValueId v = n.as_i64(input);
  std::vector<Bound> r;
  const auto known = n.b.ok() ? content_of(n.b.info(v)) : std::nullopt;
  for (size_t i = 0; i < count; ++i) {
    Bound b{std::nullopt, v, static_cast<int64_t>(i)};
    if (known && i < known->size()) b.known = (*known)[i].as_const();
    r.push_back(b);
  }
  return r;
}

// Whether the elements of a bound are known when shapes are.
bool symbolic(Node& n, size_t input) { return content_of(n.b.info(n.in(input))).has_value(); }

}  // namespace

// Inputs: x, begin, size (-1: up to the end).
Result<Values> slice(Node& n) {
  const Shape s = n.shape(0);
  const size_t rank = s.size();
  for (const size_t i : {size_t{1}, size_t{2}})
    if (n.rank(i) != 1 || !(n.shape(i)[0].equals(static_cast<int64_t>(rank))))
      return damaged("begin and size must have an element for each dimension");
  const auto begin = bounds(n, 1, rank), size = bounds(n, 2, rank);
  ValueId x = n.in(0);
  std::vector<int64_t> axes;
  Values starts, ends;
  for (size_t d = 0; d < rank; ++d) {
    const auto axis = static_cast<int64_t>(d);
    if (begin[d].known && size[d].known) {
      if (*begin[d].known < 0 || *size[d].known < -1 || !in_31_bits(*begin[d].known) || !in_31_bits(*size[d].known))
        return damaged("begin or size is negative");
      const auto all = s[d].as_const();
      if (all && (*begin[d].known > *all || (*size[d].known >= 0 && *begin[d].known + *size[d].known > *all)))
        return damaged("the slice lies outside dimension " + std::to_string(d) + " of " + shape_str(s));
      if (*begin[d].known == 0 && (*size[d].known == -1 || (all && *size[d].known == *all))) continue;
      axes.push_back(axis);
      starts.push_back(begin[d].value(n));
      ends.push_back(n.b.i64s({*size[d].known == -1 ? int64_t{INT32_MAX} : *begin[d].known + *size[d].known}));
    } else if (size[d].known && *size[d].known >= 0 && !symbolic(n, 1)) {
      // Where only the place depends on data, rows are gathered.
      if (*size[d].known > 1 << 20) return damaged("the slice is too large");
      x = gathered(n, x, n.b.op("Add", {begin[d].value(n), n.b.i64s(iota(*size[d].known))}), axis);
    } else if (symbolic(n, 1) && symbolic(n, 2)) {
      axes.push_back(axis);
      starts.push_back(begin[d].value(n));
      ends.push_back(size[d].known == -1 ? n.b.i64s({INT32_MAX})
                                         : n.b.op("Add", {begin[d].value(n), size[d].value(n)}));
    } else {
      return unsupported("the size of the slice depends on data");
    }
  }
  if (axes.empty()) return n.done(x);
  const auto joined = [&](Values parts) { return parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), 0); };
  return n.done(n.b.op("Slice", {x, joined(starts), joined(ends), n.b.i64s(axes)}));
}

// Inputs: x, begin, end, strides; bits of the masks say that a begin or end is left open, that dimensions are skipped
// (ellipsis), added (new axis) or taken away (shrink: only the element at begin).
Result<Values> strided_slice(Node& n) {
  const auto* given = n.options<fb::StridedSliceOptions>();
  const auto mask = [&](int32_t m, size_t i) { return given && i < 31 && ((static_cast<uint32_t>(m) >> i) & 1u) != 0; };
  if (given && given->offset()) return unsupported("ends given as offsets are not supported");
  LATHE_TRY(const auto strides, n.integers(3, "the strides"));
  const size_t count = strides.size(), rank = n.shape(0).size();
  for (const size_t i : {size_t{1}, size_t{2}})
    if (n.rank(i) != 1 || !n.shape(i)[0].equals(static_cast<int64_t>(count)) || count > 31)
      return damaged("begin, end and strides differ in length");
  const auto begin = bounds(n, 1, count), end = bounds(n, 2, count);
  size_t taken = 0;  // dimensions of x that the entries stand for
  for (size_t i = 0; i < count; ++i)
    if (!mask(given ? given->new_axis_mask() : 0, i) && !mask(given ? given->ellipsis_mask() : 0, i)) ++taken;
  if (taken > rank) return damaged("there are more entries than dimensions");

  ValueId x = n.in(0);
  std::vector<int64_t> axes, steps;
  Values starts, ends;
  std::vector<int> layout;  // of the result: a dimension of x, or -1: one that is new
  size_t d = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto open = [&](int32_t m) { return mask(m, i); };
    if (given && open(given->ellipsis_mask())) {
      for (size_t k = taken; k < rank; ++k) layout.push_back(static_cast<int>(d++));
      taken = rank;
      continue;
    }
    if (given && open(given->new_axis_mask())) {
      layout.push_back(-1);
      continue;
    }
    const auto axis = static_cast<int64_t>(d);
    const auto size = n.shape(0)[d].as_const();
    if (strides[i] == 0 || !in_31_bits(strides[i])) return damaged("a stride is 0");
    if (given && open(given->shrink_axis_mask())) {
      if (begin[i].known) {
        const int64_t at = *begin[i].known;
        if (!in_31_bits(at) || (size && (at < -*size || at >= *size)))
          return damaged("element " + std::to_string(at) + " lies outside dimension " + std::to_string(d));
        axes.push_back(axis);
        starts.push_back(n.b.i64s({at}));
        ends.push_back(n.b.i64s({at == -1 ? int64_t{INT32_MAX} : at + 1}));
        steps.push_back(1);
      } else {
        x = gathered(n, x, begin[i].value(n), axis);
      }
      ++d;
      continue;
    }
    layout.push_back(static_cast<int>(d++));
    const bool from_edge = given && open(given->begin_mask()), to_edge = given && open(given->end_mask());
    if (from_edge && to_edge && strides[i] == 1) continue;
    if ((!from_edge && !begin[i].known && !symbolic(n, 1)) || (!to_edge && !end[i].known && !symbolic(n, 2)))
      return unsupported("begin or end depends on data");
    axes.push_back(axis);
    steps.push_back(strides[i]);
    starts.push_back(from_edge ? n.b.i64s({strides[i] > 0 ? 0 : int64_t{INT32_MAX}}) : begin[i].value(n));
    ends.push_back(to_edge ? n.b.i64s({strides[i] > 0 ? int64_t{INT32_MAX} : -int64_t{INT32_MAX}}) : end[i].value(n));
  }
  for (; d < rank; ++d) layout.push_back(static_cast<int>(d));
  if (!axes.empty()) {
    const auto joined = [&](Values parts) { return parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), 0); };
    x = n.b.op("Slice", {x, joined(starts), joined(ends), n.b.i64s(axes), n.b.i64s(steps)});
  }
  if (!n.b.ok()) return n.done(kNoId);
  Shape target;
  for (const int from : layout) target.push_back(from < 0 ? Dim(1) : n.b.shape(x)[static_cast<size_t>(from)]);
  return n.done(n.b.reshape(x, target));
}

namespace {

// [rank, 2] as begins, then ends.
Result<std::vector<int64_t>> pads_of(const Node& n) {
  LATHE_TRY(const auto pairs, n.integers(1, "the paddings"));
  const auto rank = static_cast<size_t>(n.rank(0));
  if (pairs.size() != 2 * rank) return damaged("the paddings do not fit the input's rank");
  std::vector<int64_t> pads(2 * rank);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i] < 0 || !in_31_bits(pairs[i])) return damaged("a padding is negative");
    pads[i % 2 * rank + i / 2] = pairs[i];
  }
  return pads;
}

}  // namespace

// With zeros, or with input 2. What is quantized has another zero.
Result<Values> pad(Node& n) {
  LATHE_TRY(const auto pads, pads_of(n));
  Values inputs = {n.in(0), n.b.i64s(pads)};
  if (n.has(2))
    inputs.push_back(n.b.reshape(n.in(2), {}));
  else if (const Quantization* q = n.quant_in(0))
    inputs.push_back(n.scalar(static_cast<double>(q->zero_point())));
  return n.done(n.b.add(std::make_shared<ops::Pad>(), std::move(inputs)));
}

// "Symmetric" repeats the edge itself too: rows are gathered.
Result<Values> mirror_pad(Node& n) {
  LATHE_TRY(const auto pads, pads_of(n));
  const auto* o = n.options<fb::MirrorPadOptions>();
  if (!o || o->mode() == fb::MirrorMode::REFLECT)
    return n.done(n.b.make<ops::Pad>({n.in(0), n.b.i64s(pads)}, [](ops::Pad& p) { p.mode = "reflect"; }));
  const size_t rank = pads.size() / 2;
  ValueId x = n.in(0);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t before = pads[d], after = pads[rank + d];
    if (before == 0 && after == 0) continue;
    const auto size = n.shape(0)[d].as_const();
    if (!size) return unsupported("a symmetric padding needs a known size");
    if (before > *size || after > *size || *size > 1 << 20) return damaged("a padding is larger than the input");
    std::vector<int64_t> rows;
    for (int64_t i = before; i-- > 0;) rows.push_back(i);
    for (int64_t i = 0; i < *size; ++i) rows.push_back(i);
    for (int64_t i = 0; i < after; ++i) rows.push_back(*size - 1 - i);
    x = gathered(n, x, n.b.i64s(rows), static_cast<int64_t>(d));
  }
  return n.done(x);
}

Result<Values> tile(Node& n) { return n.done(n.b.add(std::make_shared<ops::Tile>(), {n.in(0), n.as_i64(1)})); }

Result<Values> reverse(Node& n) {
  LATHE_TRY(auto given, n.integers(1, "the axes"));
  LATHE_TRY(const auto axes, Node::axes(std::move(given), n.rank(0)));
  if (axes.empty()) return n.done(n.in(0));
  const auto all = [&](int64_t v) { return n.b.i64s(std::vector<int64_t>(axes.size(), v)); };
  return n.done(n.b.op("Slice", {n.in(0), all(-1), all(-INT32_MAX), n.b.i64s(axes), all(-1)}));
}

// Element t of a sequence of length l comes from l - 1 - t, while t is inside.
Result<Values> reverse_sequence(Node& n) {
  const auto* o = n.options<fb::ReverseSequenceOptions>();
  LATHE_TRY(const int64_t time, Node::axis(o ? o->seq_dim() : 0, n.rank(0)));
  LATHE_TRY(const int64_t batch, Node::axis(o ? o->batch_dim() : 0, n.rank(0)));
  const auto size = n.shape(0)[static_cast<size_t>(time)].as_const();
  if (!size || *size > 1 << 20) return unsupported("the length of the sequences must be known");
  if (n.rank(1) != 1 || time == batch) return damaged("there must be one length for each sequence");
  const auto rank = static_cast<size_t>(n.rank(0));
  Shape along_time(rank, Dim(1)), along_batch(rank, Dim(1));
  along_time[static_cast<size_t>(time)] = *size;
  along_batch[static_cast<size_t>(batch)] = n.shape(1)[0];
  const ValueId at = n.b.reshape(n.b.i64s(iota(*size)), along_time);
  const ValueId length = n.b.reshape(n.as_i64(1), along_batch);
  const ValueId turned = n.b.op("Sub", {n.b.op("Sub", {length, n.b.i64(1)}), at});
  const ValueId from = n.b.op("Where", {n.b.op("Less", {at, length}), turned, at});
  return n.done(n.b.make<ops::GatherElements>({n.in(0), n.b.expand(from, n.shape(0))},
                                              [&](ops::GatherElements& g) { g.axis = time; }));
}

}  // namespace lathe::tflite
