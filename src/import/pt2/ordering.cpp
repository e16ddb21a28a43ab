// SPDX-License-Identifier: Apache-2.0
// Operators that depend on the order of elements: order statistics, and where elements stand among others.
#include "import/pt2/handlers.h"
#include "ops/top_k.h"

namespace lathe::pt2 {

namespace {

// The k-th smallest along `axis` (from 1 on) and where it is.
Values kth(Node& n, ValueId x, int64_t axis, int64_t k, bool keep) {
  auto op = std::make_shared<ops::TopK>();
  op->axis = axis;
  op->largest = false;
  Values r = n.b.add_all(std::move(op), {x, n.b.i64s({k})});
  if (!n.b.ok()) return {kNoId, kNoId};
  for (ValueId& v : r) {
    v = n.b.slice(v, axis, k - 1, k);
    if (keep || !n.b.ok()) continue;
    Shape s = n.b.shape(v);
    s.erase(s.begin() + axis);
    v = n.b.reshape(v, s);
  }
  return r;
}

// x and y so that each element of x meets all of y along a new last dimension.
struct Pairs {
  ValueId x, y;
};
Pairs pairs(Node& n, ValueId x, ValueId y) {
  if (!n.b.ok()) return {kNoId, kNoId};
  Shape column = n.b.shape(x);
  column.emplace_back(1);
  return {n.b.reshape(x, column), y};
}

}  // namespace

Result<Values> kth_value(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x)), k = n.i("k", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (k < 1 || n.b.rank(x) == 0) return damaged("k or the rank is out of range");
  return n.done(kth(n, x, axis, k, n.flag("keepdim", false)));
}

// The lower of the two in the middle; NaN is taken for the largest.
Result<Values> median(Node& n) {
  ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const bool all = !n.has("dim");
  if (all) x = n.b.reshape(x, {product(n.b.shape(x))});
  const int64_t axis = all ? 0 : n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok() || n.b.rank(x) == 0) return n.done({x, n.b.i64(0)});
  const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!size || *size < 1) return unsupported("the number of elements must be known");
  Values r = kth(n, x, axis, (*size + 1) / 2, n.flag("keepdim", false));
  if (all) r.pop_back();
  return n.done(std::move(r));
}

// How many boundaries are below each element (or not above it, with right).
Result<Values> bucketize(Node& n) {
  const bool searched = n.has("sorted_sequence");
  ValueId x = searched ? (n.is_tensor("self") ? n.tensor("self") : n.number("self"))
                       : (n.is_tensor("self") ? n.tensor("self") : n.number("self"));
  ValueId bounds = n.tensor(searched ? "sorted_sequence" : "boundaries");
  if (!n.b.ok()) return n.done(kNoId);
  if (n.has("sorter")) return unsupported("a sorter is not supported");
  const DType t = promote_types(n.b.dtype(x), n.b.dtype(bounds));
  x = n.b.cast(x, t);
  bounds = n.b.cast(bounds, t);
  if (n.b.rank(bounds) != 1) {  // one sequence for each row
    Shape s = n.b.shape(bounds);
    if (static_cast<int64_t>(s.size()) != n.b.rank(x)) return damaged("the sequences do not fit the values");
    s.insert(s.end() - 1, Dim(1));
    bounds = n.b.reshape(bounds, s);
  }
  const bool right = n.flag("right", n.s("side", "left") == "right");
  const Pairs p = pairs(n, x, bounds);
  const ValueId below = n.b.op(right ? "LessOrEqual" : "Less", {p.y, p.x});
  const ValueId count = n.b.reduce("sum", n.b.cast(below, DType::kI64), {n.b.rank(x)}, false);
  return n.done(n.flag("out_int32", false) ? n.b.cast(count, DType::kI32) : count);
}

// isin: whether each element is among others.
Result<Values> is_in(Node& n) {
  const auto operand = [&](const char* name, const char* other) {
    const char* given = n.has(name) ? name : other;
    return n.is_tensor(given) ? n.tensor(given) : n.number(given);
  };
  ValueId x = operand("elements", "element"), y = operand("test_elements", "test_element");
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = promote_types(n.b.dtype(x), n.b.dtype(y));
  x = n.b.cast(x, t);
  y = n.b.cast(y, t);
  if (n.b.ok()) y = n.b.reshape(y, {product(n.b.shape(y))});
  const Pairs p = pairs(n, x, y);
  const ValueId same = n.b.cast(n.b.op("Equal", {p.x, p.y}), DType::kU8);
  const ValueId found = n.b.cast(n.b.reduce("max", same, {n.b.rank(x)}, false), DType::kBool);
  return n.done(n.flag("invert", false) ? n.b.op("Not", {found}) : found);
}

}  // namespace lathe::pt2
