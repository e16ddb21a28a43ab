// SPDX-License-Identifier: Apache-2.0
// Operators that read or write at positions given by tensors.
#include <algorithm>
#include <numeric>

#include "import/pt2/handlers.h"
#include "ops/concat.h"
#include "ops/elementwise.h"
#include "ops/gather.h"
#include "ops/gather_elements.h"
#include "ops/gather_nd.h"
#include "ops/nonzero.h"
#include "ops/one_hot.h"
#include "ops/scatter_elements.h"
#include "ops/scatter_nd.h"
#include "ops/top_k.h"
#include "ops/trilu.h"

namespace lathe::pt2 {

namespace {

ValueId gathered(Node& n, ValueId x, ValueId at, int64_t axis) {
  return n.b.make<ops::Gather>({x, at}, [&](ops::Gather& g) { g.axis = axis; });
}

// The positions where a mask holds, one vector for each of its dimensions.
Values positions(Node& n, ValueId mask) {
  const ValueId at = n.b.add(std::make_shared<ops::NonZero>(), {n.b.cast(mask, DType::kBool)});
  Values r;
  for (int64_t d = 0; n.b.ok() && d < n.b.rank(mask); ++d)
    r.push_back(n.b.reshape(n.b.slice(at, 0, d, d + 1), {n.b.shape(at)[1]}));
  return r;
}

// An advanced index: which dimensions have one, and all of them as one tensor [index shape…, dimensions].
struct Index {
  std::vector<int64_t> axes;
  Shape shape;
  ValueId tuples = kNoId;
  bool adjacent = true;
};

// `indices` for the leading dimensions of x; masks count for as many dimensions as they have.
Result<Index> index_of(Node& n, const Values& indices, int64_t rank) {
  Index r;
  Values parts;
  int64_t axis = 0;
  for (const ValueId v : indices) {
    if (v == kNoId) {
      ++axis;
      continue;
    }
    const DType t = n.b.dtype(v);
    const Values each = t == DType::kBool || t == DType::kU8 ? positions(n, v) : Values{n.b.cast(v, DType::kI64)};
    for (const ValueId part : each) {
      if (!r.axes.empty() && r.axes.back() != axis - 1) r.adjacent = false;
      r.axes.push_back(axis++);
      parts.push_back(part);
    }
  }
  if (!n.b.ok()) return std::unexpected(n.b.status().error());
  if (axis > rank || parts.empty()) return damaged("the indices do not fit the tensor");
  for (const ValueId p : parts) {
    LATHE_TRY(r.shape, ops::broadcast(r.shape, n.b.shape(p)));
  }
  Shape column = r.shape;
  column.emplace_back(1);
  for (ValueId& p : parts) {
    if (n.b.shape(p) != r.shape) p = n.b.expand(p, r.shape);
    if (n.b.ok()) p = n.b.reshape(p, column);
  }
  r.tuples = parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), static_cast<int64_t>(r.shape.size()));
  return r;
}

// The indexed dimensions first, then the others.
std::vector<int64_t> indexed_first(const Index& index, int64_t rank) {
  std::vector<int64_t> perm = index.axes;
  for (int64_t d = 0; d < rank; ++d)
    if (std::ranges::find(index.axes, d) == index.axes.end()) perm.push_back(d);
  return perm;
}

// Where the dimensions of the index stand in the result: in place of adjacent indexed dimensions, else first.
std::vector<int64_t> result_order(const Index& index, size_t total) {
  const auto width = static_cast<int64_t>(index.shape.size());
  const int64_t before = index.adjacent ? index.axes[0] : 0;
  std::vector<int64_t> perm;
  for (int64_t d = 0; d < before; ++d) perm.push_back(width + d);
  for (int64_t d = 0; d < width; ++d) perm.push_back(d);
  for (auto d = width + before; d < static_cast<int64_t>(total); ++d) perm.push_back(d);
  return perm;
}

std::vector<int64_t> inverse(const std::vector<int64_t>& perm) {
  std::vector<int64_t> r(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) r[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return r;
}

}  // namespace

Result<Values> index(Node& n) {
  const ValueId x = n.tensor("self");
  const Values indices = n.tensors("indices");
  if (!n.b.ok()) return n.done(kNoId);
  const auto given = std::ranges::count_if(indices, [](ValueId v) { return v != kNoId; });
  const int64_t rank = n.b.rank(x);
  if (given == 0) return n.done(x);
  if (given == 1) {
    const auto at = std::ranges::find_if(indices, [](ValueId v) { return v != kNoId; });
    const int64_t axis = at - indices.begin();
    if (n.b.dtype(*at) != DType::kBool && n.b.dtype(*at) != DType::kU8) {
      if (axis >= rank) return damaged("the indices do not fit the tensor");
      return n.done(gathered(n, x, n.b.cast(*at, DType::kI64), axis));
    }
    if (n.b.rank(*at) == 1) {
      const Values rows = positions(n, *at);
      return n.done(n.b.ok() ? gathered(n, x, rows[0], axis) : kNoId);
    }
  }
  LATHE_TRY(const Index ix, index_of(n, indices, rank));
  const ValueId moved = n.b.transpose(x, indexed_first(ix, rank));
  const ValueId y = n.b.add(std::make_shared<ops::GatherND>(), {moved, ix.tuples});
  if (!n.b.ok()) return n.done(kNoId);
  return n.done(n.b.transpose(y, result_order(ix, static_cast<size_t>(n.b.rank(y)))));
}

Result<Values> index_put(Node& n) {
  const ValueId x = n.tensor("self");
  const Values indices = n.tensors("indices");
  ValueId values = n.tensor("values");
  if (!n.b.ok()) return n.done(kNoId);
  const bool add = n.flag("accumulate", false);
  values = n.b.cast(values, n.b.dtype(x));
  const int64_t rank = n.b.rank(x);
  // One value where a mask holds.
  if (indices.size() == 1 && indices[0] != kNoId && n.b.dtype(indices[0]) == DType::kBool && !add &&
      product(n.b.shape(values)).equals(1)) {
    Shape wide = n.b.shape(indices[0]);
    while (static_cast<int64_t>(wide.size()) < rank) wide.emplace_back(1);
    return n.done(n.b.op("Where", {n.b.reshape(indices[0], wide), n.b.reshape(values, {}), x}));
  }
  LATHE_TRY(const Index ix, index_of(n, indices, rank));
  const auto first = indexed_first(ix, rank);
  const ValueId moved = n.b.transpose(x, first);
  if (!n.b.ok()) return n.done(kNoId);
  Shape rest = n.b.shape(moved), full = ix.shape;
  full.insert(full.end(), rest.begin() + static_cast<ptrdiff_t>(ix.axes.size()), rest.end());
  // The values broadcast to the shape that reading there has.
  const auto order = result_order(ix, full.size());
  Shape seen;
  for (const int64_t d : order) seen.push_back(full[static_cast<size_t>(d)]);
  if (n.b.shape(values) != seen) values = n.b.expand(values, seen);
  values = n.b.ok() ? n.b.transpose(values, inverse(order)) : kNoId;
  const ValueId y = n.b.make<ops::ScatterND>({moved, ix.tuples, values},
                                             [&](ops::ScatterND& s) { s.reduction = add ? "add" : "none"; });
  return n.done(n.b.ok() ? n.b.transpose(y, inverse(first)) : kNoId);
}

Result<Values> index_select(Node& n) {
  const ValueId x = n.tensor("self"), at = n.tensor("index");
  return n.done(gathered(n, x, n.b.cast(at, DType::kI64), n.axis(n.i("dim", 0), n.b.rank(x))));
}

Result<Values> gather(Node& n) {
  const ValueId x = n.tensor("self"), at = n.tensor("index");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  // The index may be smaller in the other dimensions.
  ValueId part = x;
  for (int64_t d = 0; d < n.b.rank(x) && d < n.b.rank(at); ++d) {
    const Dim have = n.b.shape(x)[static_cast<size_t>(d)], want = n.b.shape(at)[static_cast<size_t>(d)];
    if (d != axis && have.is_const() && want.is_const() && want.value() < have.value())
      part = n.b.slice(part, d, 0, want.value());
  }
  return n.done(
      n.b.make<ops::GatherElements>({part, n.b.cast(at, DType::kI64)}, [&](ops::GatherElements& g) { g.axis = axis; }));
}

Result<Values> embedding(Node& n) {
  return n.done(gathered(n, n.tensor("weight"), n.b.cast(n.tensor("indices"), DType::kI64), 0));
}

// scatter, scatter_add, scatter_reduce; src or one value.
Result<Values> scatter(Node& n) {
  const ValueId x = n.tensor("self"), at = n.tensor("index");
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  ValueId src = kNoId;
  if (n.is_tensor("src")) {
    src = n.b.cast(n.tensor("src"), n.b.dtype(x));
    for (int64_t d = 0; d < n.b.rank(at); ++d) {
      const Dim have = n.b.shape(src)[static_cast<size_t>(d)], want = n.b.shape(at)[static_cast<size_t>(d)];
      if (have.is_const() && want.is_const() && want.value() < have.value()) src = n.b.slice(src, d, 0, want.value());
    }
  } else {
    src = n.b.expand(n.as("value", n.b.dtype(x)), n.b.shape(at));
  }
  std::string how = n.canonical().empty() ? n.s("reduce", "none") : std::string(n.canonical());
  if (how == "sum") how = "add";
  if (how == "prod" || how == "multiply") how = "mul";
  if (how == "amax") how = "max";
  if (how == "amin") how = "min";
  if (how == "mean" || !n.flag("include_self", true)) return unsupported("this kind of reduction is not supported");
  return n.done(n.b.make<ops::ScatterElements>({x, n.b.cast(at, DType::kI64), src}, [&](ops::ScatterElements& s) {
    s.axis = axis;
    s.reduction = how;
  }));
}

// nonzero: rows of coordinates; nonzero_numpy and where(condition): a vector a dimension.
Result<Values> nonzero(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  if (n.op() == "aten.where" || n.canonical() == "columns") return n.done(positions(n, x));
  const ValueId at = n.b.add(std::make_shared<ops::NonZero>(), {n.b.cast(x, DType::kBool)});
  return n.done(n.b.transpose(at, {1, 0}));
}

Result<Values> masked_select(Node& n) {
  ValueId x = n.tensor("self"), mask = n.tensor("mask");
  if (!n.b.ok()) return n.done(kNoId);
  LATHE_TRY(const Shape s, ops::broadcast(n.b.shape(x), n.b.shape(mask)));
  for (ValueId* v : {&x, &mask}) {
    if (n.b.shape(*v) != s) *v = n.b.expand(*v, s);
    if (n.b.ok()) *v = n.b.reshape(*v, {product(s)});
  }
  const Values at = positions(n, mask);
  return n.done(n.b.ok() ? gathered(n, x, at[0], 0) : kNoId);
}

Result<Values> topk(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x));
  const ValueId k = n.b.dim_value(n.dim("k", 1));
  auto op = std::make_shared<ops::TopK>();
  op->axis = axis;
  op->largest = n.flag("largest", true);
  return n.done(n.b.add_all(std::move(op), {x, k}));
}

// sort and argsort: all elements by TopK, which keeps the order of equal ones.
Result<Values> sort(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  if (n.b.rank(x) == 0) return n.done({x, n.b.i64(0)});
  auto op = std::make_shared<ops::TopK>();
  op->axis = axis;
  op->largest = n.flag("descending", false);
  auto r = n.b.add_all(std::move(op), {x, n.b.dim_value(n.b.shape(x)[static_cast<size_t>(axis)])});
  if (n.op() == "aten.argsort" && r.size() == 2) r.erase(r.begin());
  return n.done(std::move(r));
}

Result<Values> triangle(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  // Truth values as bytes.
  const DType t = n.b.dtype(x);
  const ValueId y = n.b.make<ops::Trilu>({n.b.cast(x, t == DType::kBool ? DType::kU8 : t), n.b.i64(n.i("diagonal", 0))},
                                         [&](ops::Trilu& o) { o.upper = n.canonical() == "upper"; });
  return n.done(n.b.ok() ? n.b.cast(y, t) : kNoId);
}

Result<Values> one_hot(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t classes = n.i("num_classes", -1);
  if (classes < 0) return unsupported("num_classes must be given");
  return n.done(
      n.b.make<ops::OneHot>({x, n.b.i64(classes), n.b.i64s({0, 1})}, [&](ops::OneHot& o) { o.axis = n.b.rank(x); }));
}

Result<Values> meshgrid(Node& n) {
  const Values xs = n.tensors("tensors");
  const bool swapped = n.s("indexing", "ij") == "xy" && xs.size() > 1;
  if (!n.b.ok()) return n.done(kNoId);
  Shape full;
  for (const ValueId v : xs) full.push_back(product(n.b.shape(v)));
  if (swapped) std::swap(full[0], full[1]);
  Values r;
  for (size_t i = 0; i < xs.size(); ++i) {
    Shape column(xs.size(), Dim(1));
    const size_t at = swapped && i < 2 ? 1 - i : i;
    column[at] = full[at];
    r.push_back(n.b.expand(n.b.reshape(xs[i], column), full));
  }
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
