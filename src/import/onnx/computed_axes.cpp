// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/computed_axes.h"

#include <numeric>

#include "ops/cumsum.h"
#include "ops/gather.h"
#include "ops/permute.h"
#include "ops/require.h"
#include "ops/reshape.h"
#include "ops/scatter_elements.h"
#include "ops/shape.h"
#include "ops/top_k.h"

namespace lathe::onnx {

bool computed(const Node& n, size_t i) {
  if (!n.has(i)) return false;
  const ValueInfo v = n.b.info(n.in(i));
  return !v.constant && !integers_of(v);
}

Result<int64_t> axis_count(const Node& n, size_t i) {
  const Shape s = n.shape(i);
  if (s.size() != 1) return damaged("axes must be a vector");
  if (!s[0].is_const()) return unsupported("the number of axes depends on the model's inputs");
  return s[0].value();
}

ValueId repeated(Node& n, int64_t value, int64_t count) {
  return n.b.i64s(std::vector<int64_t>(static_cast<size_t>(count), value));
}

ValueId shape_of(Node& n, ValueId x) { return n.b.add(std::make_shared<ops::ShapeOf>(), {x}); }

ValueId spread(Node& n, ValueId axes, ValueId values, ValueId otherwise) {
  return n.b.make<ops::ScatterElements>({otherwise, axes, values}, [](ops::ScatterElements&) {});
}

Result<ComputedAxes> computed_axes(Node& n, size_t i, int64_t rank) {
  LATHE_TRY(const int64_t count, axis_count(n, i));
  if (count > rank) return damaged(std::to_string(count) + " axes for rank " + std::to_string(rank));
  ComputedAxes a;
  const ValueId raw = n.b.cast(n.in(i), DType::kI64);
  a.axes = n.b.op("Where", {n.b.op("Less", {raw, n.b.i64(0)}), n.b.op("Add", {raw, n.b.i64(rank)}), raw});
  a.mask = spread(n, a.axes, repeated(n, 1, count), repeated(n, 0, rank));
  if (count > 0) {
    // An axis named twice leaves fewer marks than axes; one below -rank is still negative (above, marking it fails).
    const ValueId distinct = n.b.op("Equal", {n.b.reduce("sum", a.mask, {0}, false), n.b.i64(count)});
    const ValueId inside = n.b.op("GreaterOrEqual", {n.b.reduce("min", a.axes, {0}, false), n.b.i64(0)});
    const ValueId valid = n.b.op("And", {distinct, inside});
    for (ValueId* v : {&a.axes, &a.mask}) *v = n.b.add(std::make_shared<ops::Require>(), {valid, *v});
  }
  // Equal elements keep their order: first the dimensions that are not named.
  const auto sorted = [&] {
    auto op = std::make_shared<ops::TopK>();
    op->largest = false;
    return n.b.add_all(std::move(op), {a.mask, n.b.i64s({rank})});
  }();
  if (!n.b.ok() || sorted.size() < 2) return a;
  a.order = sorted[1];
  return a;
}

Result<Values> reduce_computed(Node& n, ValueId x) {
  const int64_t rank = n.b.rank(x);
  LATHE_TRY(const int64_t count, axis_count(n, 1));
  const bool keep = n.i("keepdims", 1) != 0;
  std::vector<int64_t> last(static_cast<size_t>(count));
  std::iota(last.begin(), last.end(), rank - count);
  LATHE_TRY(const ComputedAxes a, computed_axes(n, 1, rank));
  const ValueId moved = count == rank ? x : n.b.add(std::make_shared<ops::Permute>(), {x, a.order});
  const ValueId y = n.b.reduce(n.canonical(), moved, std::move(last), false);
  if (!keep) return n.done(y);
  const ValueId shape = n.b.op("Where", {n.b.op("Equal", {a.mask, n.b.i64(0)}), shape_of(n, x), n.b.i64(1)});
  return n.done(n.b.make<ops::Reshape>({y, shape}, [](ops::Reshape& r) { r.allow_zero = true; }));
}

Result<Values> squeeze_computed(Node& n) {
  const int64_t rank = n.rank(0);
  LATHE_TRY(const int64_t count, axis_count(n, 1));
  LATHE_TRY(const ComputedAxes a, computed_axes(n, 1, rank));
  const ValueId kept = n.b.slice(a.order, 0, 0, rank - count);
  const ValueId shape = n.b.make<ops::Gather>({shape_of(n, n.in(0)), kept}, [](ops::Gather&) {});
  return n.done(n.b.make<ops::Reshape>({n.in(0), shape}, [](ops::Reshape& r) { r.allow_zero = true; }));
}

Result<Values> unsqueeze_computed(Node& n) {
  LATHE_TRY(const int64_t count, axis_count(n, 1));
  const int64_t rank = n.rank(0) + count;
  LATHE_TRY(const ComputedAxes a, computed_axes(n, 1, rank));
  ValueId shape = repeated(n, 1, rank);
  if (n.rank(0) > 0) {
    // Dimension d is the input's whose number is how many old ones lie before d.
    const ValueId old = n.b.op("Sub", {n.b.i64(1), a.mask});
    const ValueId before = n.b.make<ops::CumSum>({old, n.b.i64(0)}, [](ops::CumSum& c) { c.exclusive = true; });
    const ValueId at = n.b.op("Min", {before, n.b.i64(n.rank(0) - 1)});
    const ValueId sizes = n.b.make<ops::Gather>({shape_of(n, n.in(0)), at}, [](ops::Gather&) {});
    shape = n.b.op("Where", {n.b.op("Equal", {a.mask, n.b.i64(0)}), sizes, n.b.i64(1)});
  }
  return n.done(n.b.make<ops::Reshape>({n.in(0), shape}, [](ops::Reshape& r) { r.allow_zero = true; }));
}

}  // namespace lathe::onnx
