// SPDX-License-Identifier: Apache-2.0
// Operators whose indices are data.
#include <algorithm>

#include "import/tflite/handlers.h"
#include "ops/gather.h"
#include "ops/gather_nd.h"
#include "ops/pad.h"
#include "ops/scatter_elements.h"
#include "ops/scatter_nd.h"
#include "ops/shape.h"

namespace lathe::tflite {

namespace {

// Indices as GATHER may have them (i16 too) in a type ours take.
ValueId indices_of(Node& n, size_t i) {
  return n.dtype(i) == DType::kI64 || n.dtype(i) == DType::kI32 ? n.in(i) : n.b.cast(n.in(i), DType::kI64);
}

ValueId gathered(Node& n, ValueId x, ValueId indices, int64_t axis) {
  return n.b.make<ops::Gather>({x, indices}, [&](ops::Gather& g) { g.axis = axis; });
}

// A table of integers of which reals are wanted, as dynamic range quantization leaves it.
ValueId real(Node& n, size_t table, ValueId rows) {
  const Quantization* q = n.quant_in(table);
  if (!q || n.out_dtype(0) != DType::kF32 || n.b.dtype(rows) == DType::kF32) return rows;
  if (q->per_axis() || q->zero_point() != 0) {
    n.b.set_error({Code::kUnsupported, "a table quantized by row is not supported"});
    return kNoId;
  }
  return n.b.op("Mul", {n.b.cast(rows, DType::kF32), n.b.scalar(DType::kF32, static_cast<double>(q->scale()))});
}

}  // namespace

Result<Values> gather(Node& n) {
  const auto* o = n.options<fb::GatherOptions>();
  LATHE_TRY(int64_t axis, Node::axis(o ? o->axis() : 0, n.rank(0)));
  int64_t batch = o ? o->batch_dims() : 0;
  if (batch < 0) batch += n.rank(1);
  if (batch == 0) return n.done(real(n, 0, gathered(n, n.in(0), indices_of(n, 1), axis)));
  // [B…, A…, axis, R…] by [B…, I…] → [B…, A…, I…, R…]: with A moved behind, one GatherND with a single batch dimension.
  const Shape x = n.shape(0), i = n.shape(1);
  if (batch < 0 || batch > axis || batch > n.rank(1)) return damaged("batch_dims is out of range");
  const auto part = [](const Shape& s, int64_t from, int64_t to) { return Shape(s.begin() + from, s.begin() + to); };
  const Shape b = part(x, 0, batch), a = part(x, batch, axis), rest = part(x, axis + 1, n.rank(0)),
              index = part(i, batch, n.rank(1));
  std::vector<int64_t> perm = iota(batch);
  perm.push_back(axis);
  for (int64_t d = batch; d < n.rank(0); ++d)
    if (d != axis) perm.push_back(d);
  const ValueId rows =
      n.b.reshape(n.b.transpose(n.in(0), perm), {product(b), x[static_cast<size_t>(axis)], product(a) * product(rest)});
  const ValueId at = n.b.reshape(indices_of(n, 1), {product(b), product(index), 1});
  ValueId y = n.b.make<ops::GatherND>({rows, at}, [](ops::GatherND& g) { g.batch_dims = 1; });
  y = n.b.transpose(n.b.reshape(y, {product(b), product(index), product(a), product(rest)}), {0, 2, 1, 3});
  Shape target = b;
  for (const Shape* s : {&a, &index, &rest}) target.insert(target.end(), s->begin(), s->end());
  return n.done(n.b.reshape(y, target));
}

Result<Values> gather_nd(Node& n) {
  return n.done(n.b.add(std::make_shared<ops::GatherND>(), {n.in(0), indices_of(n, 1)}));
}

// Inputs: ids, table.
Result<Values> embedding_lookup(Node& n) { return n.done(real(n, 1, gathered(n, n.in(1), indices_of(n, 0), 0))); }

// Inputs: indices, updates, the result's shape. What is hit twice is added up.
Result<Values> scatter_nd(Node& n) {
  const DType t = n.dtype(1);
  const ValueId zero = n.b.op("Expand", {n.b.scalar(t, 0), n.as_i64(2)});
  return n.done(n.b.make<ops::ScatterND>({zero, indices_of(n, 0), n.in(1)},
                                         [&](ops::ScatterND& s) { s.reduction = t == DType::kBool ? "none" : "add"; }));
}

// Inputs: x, update, start; the start is moved so that the update lies inside.
Result<Values> dynamic_update_slice(Node& n) {
  const auto x = static_dims(n.shape(0)), update = static_dims(n.shape(1));
  if (!x || !update) return unsupported("it needs known sizes; give them with --shape");
  const size_t rank = x->size();
  if (update->size() != rank || n.rank(2) != 1 || !n.shape(2)[0].equals(static_cast<int64_t>(rank)))
    return damaged("operand, update and start differ in rank");
  int64_t stride = 1;
  ValueId at = n.b.i64(0);
  for (size_t d = rank; d-- > 0;) {  // the place of each element of the update in the flattened x
    const auto axis = static_cast<int64_t>(d);
    if ((*update)[d] > (*x)[d]) return damaged("the update is larger than the operand");
    const ValueId start =
        n.b.op("Clip", {n.b.slice(n.as_i64(2), 0, axis, axis + 1), n.b.i64(0), n.b.i64((*x)[d] - (*update)[d])});
    Shape along(rank, Dim(1));
    along[d] = (*update)[d];
    const ValueId places = n.b.reshape(n.b.op("Add", {start, n.b.i64s(iota((*update)[d]))}), along);
    at = n.b.op("Add", {at, n.b.op("Mul", {places, n.b.i64(stride)})});
    stride *= (*x)[d];
  }
  const Dim count = product(n.shape(1));
  const ValueId flat =
      n.b.make<ops::ScatterElements>({n.b.reshape(n.in(0), {product(n.shape(0))}),
                                      n.b.reshape(n.b.expand(at, n.shape(1)), {count}), n.b.reshape(n.in(1), {count})},
                                     [](ops::ScatterElements& s) { s.axis = 0; });
  return n.done(n.b.reshape(flat, n.shape(0)));
}

// Inputs: indices, depth, on, off. Indices outside give off everywhere.
Result<Values> one_hot(Node& n) {
  LATHE_TRY(const int64_t depth, n.integer(1, "the depth"));
  if (depth < 0 || depth > 1 << 24) return damaged("depth " + std::to_string(depth) + " is out of range");
  const auto* o = n.options<fb::OneHotOptions>();
  LATHE_TRY(const int64_t axis, Node::axis(o ? o->axis() : -1, n.rank(0) + 1));
  Shape apart = n.shape(0), along(static_cast<size_t>(n.rank(0)) + 1, Dim(1));
  apart.insert(apart.begin() + axis, Dim(1));
  along[static_cast<size_t>(axis)] = depth;
  const ValueId hit =
      n.b.op("Equal", {n.b.reshape(n.b.cast(n.in(0), DType::kI64), apart), n.b.reshape(n.b.i64s(iota(depth)), along)});
  return n.done(n.b.op("Where", {hit, n.b.reshape(n.in(2), {}), n.b.reshape(n.in(3), {})}));
}

// The places of the elements that are not zero, one a row.
Result<Values> where(Node& n) {
  return n.done(n.b.cast(n.b.transpose(n.b.op("NonZero", {n.in(0)}), {1, 0}), n.out_dtype(0)));
}

// Rows of x with the same segment number are combined. The row's name is the reduction and what an empty segment has.
// Inputs: x, ids of its leading dimensions, and how many segments there are (SEGMENT_SUM: as many as the last id says).
Result<Values> segment(Node& n) {
  const Shape x = n.shape(0), ids = n.shape(1);
  if (ids.size() > x.size()) return damaged("there are more segment ids than rows");
  int64_t count = 0;
  if (n.input_count() > 2) {
    LATHE_TRY(count, n.integer(2, "the number of segments"));
  } else {
    LATHE_TRY(const auto known, n.integers(1, "the segment ids"));
    for (const int64_t id : known) count = std::max(count, id + 1);
  }
  if (count < 0 || count > 1 << 24) return damaged("the number of segments is out of range");
  const DTypeInfo& t = dtype_info(n.dtype(0));
  if (!t.is_float && t.bits != 32) return unsupported("segments of " + std::string(t.name) + " are not supported");
  const std::string_view kind = n.canonical();
  const double most = t.is_float ? static_cast<double>(std::numeric_limits<float>::max()) : 2147483647.0;
  const double least = t.is_float ? -most : -2147483648.0;
  const double empty = kind == "add" ? 0 : kind == "mul" ? 1 : kind == "max" ? least : most;
  Shape rest(x.begin() + static_cast<ptrdiff_t>(ids.size()), x.end()), rows = rest, target = rest;
  const Dim lead = product(ids);
  rows.insert(rows.begin(), lead);
  target.insert(target.begin(), Dim(count));
  // Negative ids are dropped: they go to a segment more, which is cut off.
  const ValueId id = n.b.cast(n.b.reshape(n.in(1), {lead, 1}), DType::kI64);
  const ValueId places = n.b.op("Where", {n.b.op("Less", {id, n.b.i64(0)}), n.b.i64(count), id});
  Shape wide = target;
  wide[0] = count + 1;
  const ValueId sums = n.b.make<ops::ScatterND>({n.b.expand(n.scalar(empty), wide), places, n.b.reshape(n.in(0), rows)},
                                                [&](ops::ScatterND& s) { s.reduction = kind; });
  return n.done(n.b.slice(sums, 0, 0, count));
}

namespace {

// True on the diagonal of rows × columns.
ValueId diagonal(Node& n, int64_t rows, int64_t columns) {
  return n.b.op("Equal", {n.b.reshape(n.b.i64s(iota(rows)), {rows, 1}), n.b.i64s(iota(columns))});
}

}  // namespace

Result<Values> matrix_diag(Node& n) {
  if (n.rank(0) < 1) return damaged("the input has no dimension");
  const auto size = n.shape(0).back().as_const();
  if (!size || *size > 1 << 14) return unsupported("the size of the diagonal must be known and below 16384");
  Shape column = n.shape(0);
  column.emplace_back(1);
  return n.done(n.b.op("Where", {diagonal(n, *size, *size), n.b.reshape(n.in(0), column), n.scalar(0)}));
}

// Inputs: matrices, diagonals.
Result<Values> matrix_set_diag(Node& n) {
  if (n.rank(0) < 2 || n.rank(1) != n.rank(0) - 1) return damaged("the ranks do not fit");
  const Shape s = n.shape(0);
  const auto size = static_dims({s[s.size() - 2], s.back()});
  if (!size || std::max((*size)[0], (*size)[1]) > 1 << 14)
    return unsupported("the matrices' sizes must be known and below 16384");
  const int64_t rows = (*size)[0], along = std::min(rows, (*size)[1]);
  Shape column = n.shape(1);
  column.emplace_back(1);
  ValueId d = n.b.reshape(n.in(1), column);
  if (rows > along) {
    std::vector<int64_t> pads(2 * column.size(), 0);
    pads[2 * column.size() - 2] = rows - along;
    d = n.b.op("Pad", {d, n.b.i64s(pads)});
  }
  return n.done(n.b.op("Where", {diagonal(n, rows, (*size)[1]), d, n.in(0)}));
}

// Inputs: boxes [n, 4], scores [n], most boxes, overlap, least score (, sigma). The result is filled up with zeros.
Result<Values> non_max_suppression(Node& n) {
  const bool soft = n.canonical() == "soft";
  LATHE_TRY(const int64_t most, n.integer(2, "the number of boxes"));
  if (most < 0 || most > 1 << 20) return damaged("the number of boxes is out of range");
  if (n.rank(0) != 2 || n.rank(1) != 1) return damaged("the boxes must be a matrix and the scores a vector");
  if (soft) {
    const Tensor* sigma = n.b.constant_of(n.in(5));
    if (!sigma || sigma->count() != 1 || sigma->f64_at(0) != 0)
      return unsupported("only a sigma of 0 (hard suppression) is supported");
  }
  const Shape s = n.shape(0);
  const auto scalar_of = [&](size_t i) { return n.b.reshape(n.in(i), {}); };
  const ValueId kept =
      n.b.op("NonMaxSuppression", {n.b.reshape(n.in(0), {1, s[0], s[1]}), n.b.reshape(n.in(1), {1, 1, n.shape(1)[0]}),
                                   n.b.i64(most), scalar_of(3), scalar_of(4)});
  if (!n.b.ok()) return n.done(kNoId);
  const Dim count = n.b.shape(kept)[0];
  const ValueId boxes = n.b.reshape(n.b.slice(kept, 1, 2, 3), {count});
  const ValueId valid = n.b.cast(n.b.make<ops::ShapeOf>({boxes}, [](ops::ShapeOf&) {}), DType::kI32);
  const auto filled = [&](ValueId v) {
    const ValueId zeros = n.b.expand(n.b.scalar(n.b.dtype(v), 0), {Dim(most)});
    return n.b.slice(n.b.concat({v, zeros}, 0), 0, 0, most);
  };
  Values out = {n.b.reshape(n.b.cast(filled(boxes), DType::kI32), {most})};
  if (soft) out.push_back(n.b.reshape(filled(gathered(n, n.in(1), boxes, 0)), {most}));
  out.push_back(n.b.reshape(valid, {}));
  return n.done(std::move(out));
}

}  // namespace lathe::tflite
