// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "import/pt2/handlers.h"
#include "ops/arg_reduce.h"
#include "ops/cumsum.h"
#include "ops/elementwise.h"

namespace lathe::pt2 {

namespace {

// The argument dim; none or an empty list is all.
std::vector<int64_t> dims_of(Node& n, ValueId x, std::string_view name = "dim") {
  auto axes = n.axes(n.ints(name), n.b.rank(x));
  if (axes.empty()) {
    axes.resize(static_cast<size_t>(n.b.rank(x)));
    std::iota(axes.begin(), axes.end(), 0);
  }
  return axes;
}

bool is_float(DType t) { return dtype_info(t).is_float; }

// Scalars have no dimension to reduce, but take dim 0 and -1.
ValueId reduced(Node& n, std::string_view kind, ValueId x, std::vector<int64_t> axes, bool keep) {
  if (!n.b.ok() || n.b.rank(x) == 0) return x;
  const bool truth = n.b.dtype(x) == DType::kBool;
  const ValueId y = n.b.reduce(kind, truth ? n.b.cast(x, DType::kU8) : x, std::move(axes), keep);
  return truth && n.b.ok() ? n.b.cast(y, DType::kBool) : y;
}

}  // namespace

// sum, mean, prod, amax, amin, logsumexp: integers are added up as i64.
Result<Values> reduce(Node& n) {
  ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const std::string_view kind = n.canonical();
  DType t = n.b.dtype(x);
  if (kind == "sum" || kind == "prod") t = n.dtype("dtype", is_float(t) ? t : DType::kI64);
  if (kind == "mean") t = n.dtype("dtype", t);
  if (kind == "log_sum_exp" && !is_float(t)) t = DType::kF32;
  x = n.b.cast(x, t);
  const auto axes = dims_of(n, x);
  const bool keep = n.flag("keepdim", false);
  return n.done(reduced(n, kind, x, axes, keep));
}

// max(x), max(x, dim) with indices, max(x, other)
Result<Values> extreme(Node& n) {
  if (n.has("other")) {
    const Values in = n.promoted({"self", "other"});
    return n.done(n.b.op(n.canonical() == "max" ? "Max" : "Min", in));
  }
  const ValueId x = n.tensor("self");
  const auto axes = dims_of(n, x);
  const bool keep = n.flag("keepdim", false);
  const ValueId y = reduced(n, n.canonical(), x, axes, keep);
  if (!n.has("dim") || !n.b.ok()) return n.done(y);
  if (n.b.rank(x) == 0) return n.done({y, n.b.i64(0)});
  const ValueId at = n.b.make<ops::ArgReduce>({x}, [&](ops::ArgReduce& a) {
    a.kind = n.canonical();
    a.axis = axes[0];
    a.keepdims = keep;
  });
  return n.done({y, at});
}

// any and all
Result<Values> truth(Node& n) {
  const ValueId x = n.b.cast(n.tensor("self"), DType::kBool);
  return n.done(reduced(n, n.canonical(), x, dims_of(n, x), n.flag("keepdim", false)));
}

Result<Values> arg_reduce(Node& n) {
  ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  const bool flat = !n.has("dim"), keep = n.flag("keepdim", false);
  if (flat || s.empty()) x = n.b.reshape(x, {product(s)});
  const int64_t axis = flat || s.empty() ? 0 : n.axis(n.i("dim", 0), n.b.rank(x));
  const ValueId y = n.b.make<ops::ArgReduce>({x}, [&](ops::ArgReduce& a) {
    a.kind = n.canonical();
    a.axis = axis;
    a.keepdims = keep && !flat && !s.empty();
  });
  if (n.b.ok() && flat && keep) return n.done(n.b.reshape(y, Shape(s.size(), Dim(1))));
  return n.done(y);
}

// var, std, var_mean, std_mean: the sum of squares is divided by the count less `correction`.
Result<Values> variance(Node& n) {
  const ValueId x = n.tensor("self");
  const auto axes = dims_of(n, x);
  const double correction = n.has("unbiased") ? (n.flag("unbiased", true) ? 1 : 0) : n.f("correction", 1);
  const bool keep = n.flag("keepdim", false);
  if (!n.b.ok()) return n.done(kNoId);
  Dim count = 1;
  for (const int64_t a : axes) count = count * n.b.shape(x)[static_cast<size_t>(a)];
  const ValueId centred = n.b.op("Sub", {x, n.b.reduce("mean", x, axes, true)});
  ValueId v = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, keep);
  if (correction != 0) {
    if (!count.is_const()) return unsupported("the number of elements must be known");
    const auto c = static_cast<double>(count.value());
    v = n.b.op("Mul", {v, n.b.scalar(n.b.dtype(x), c / std::max(c - correction, 0.0))});
  }
  const bool deviation = n.op().find("std") != std::string_view::npos;
  if (deviation) v = n.b.op("Sqrt", {v});
  if (!n.op().ends_with("_mean")) return n.done(v);
  return n.done({v, n.b.reduce("mean", x, axes, keep)});
}

// norm, linalg_vector_norm: of order 1, 2 or infinity.
Result<Values> norm(Node& n) {
  const char* input = n.has("self") ? "self" : "x";
  const ValueId x = n.tensor(input);
  if (!n.b.ok()) return n.done(kNoId);
  const double order = n.has("p") ? n.f("p", 2) : n.f("ord", 2);
  const auto axes = dims_of(n, x);
  const bool keep = n.flag("keepdim", false);
  if (order == 2) return n.done(reduced(n, "l2", x, axes, keep));
  if (order == 1) return n.done(reduced(n, "l1", x, axes, keep));
  if (order == 0) {  // how many are not zero
    const ValueId some = n.b.cast(n.b.cast(x, DType::kBool), n.b.dtype(x));
    return n.done(reduced(n, "sum", some, axes, keep));
  }
  const ValueId size = n.b.op("Abs", {x});
  if (std::isinf(order)) return n.done(reduced(n, order > 0 ? "max" : "min", size, axes, keep));
  const DType t = n.b.dtype(x);
  const ValueId powers = n.b.op("Pow", {size, n.b.scalar(t, order)});
  return n.done(n.b.op("Pow", {reduced(n, "sum", powers, axes, keep), n.b.scalar(t, 1 / order)}));
}

Result<Values> cumsum(Node& n) {
  ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  x = n.b.cast(x, n.dtype("dtype", is_float(n.b.dtype(x)) ? n.b.dtype(x) : DType::kI64));
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(x));
  if (!n.b.ok() || n.b.rank(x) == 0) return n.done(x);
  return n.done(
      n.b.make<ops::CumSum>({x, n.b.i64(axis)}, [&](ops::CumSum& c) { c.product = n.canonical() == "product"; }));
}

// aminmax
Result<Values> both_extremes(Node& n) {
  const ValueId x = n.tensor("self");
  const auto axes = dims_of(n, x);
  const bool keep = n.flag("keepdim", false);
  return n.done({reduced(n, "min", x, axes, keep), reduced(n, "max", x, axes, keep)});
}

Result<Values> count_nonzero(Node& n) {
  const ValueId x = n.b.cast(n.b.cast(n.tensor("self"), DType::kBool), DType::kI64);
  return n.done(reduced(n, "sum", x, dims_of(n, x), false));
}

// nansum, nanmean: NaN counts for nothing.
Result<Values> nan_reduce(Node& n) {
  const ValueId x = n.tensor("self");
  const auto axes = dims_of(n, x);
  const bool keep = n.flag("keepdim", false);
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(x);
  if (!is_float(t)) return n.done(reduced(n, "sum", n.b.cast(x, DType::kI64), axes, keep));
  const ValueId bad = n.b.op("IsNaN", {x});
  const ValueId sum = reduced(n, "sum", n.b.op("Where", {bad, n.b.scalar(t, 0), x}), axes, keep);
  if (n.canonical() == "sum") return n.done(sum);
  return n.done(n.b.op("Div", {sum, reduced(n, "sum", n.b.cast(n.b.op("Not", {bad}), t), axes, keep)}));
}

// cdist: from each row to each row; pairwise_distance: from row to row; cosine_similarity along a dimension.
Result<Values> distance(Node& n) {
  const bool rows = n.canonical() == "cdist";
  const bool cosine = n.canonical() == "cosine";
  ValueId a = n.tensor("x1"), b = n.tensor("x2");
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(a);
  if (cosine) {
    LATHE_TRY(const Shape s, ops::broadcast(n.b.shape(a), n.b.shape(b)));
    const int64_t axis = n.axis(n.i("dim", 1), static_cast<int64_t>(s.size()));
    const auto length = [&](ValueId v) {
      return n.b.op("Max", {n.b.reduce("l2", v, {axis}, true), n.b.scalar(t, n.f("eps", 1e-8))});
    };
    const ValueId x = n.b.op("Div", {a, length(a)}), y = n.b.op("Div", {b, length(b)});
    return n.done(n.b.reduce("sum", n.b.op("Mul", {x, y}), {axis}, false));
  }
  const double p = n.f("p", 2);
  Shape left = n.b.shape(a), right = n.b.shape(b);
  if (left.empty() || right.empty()) return damaged("there are no rows");
  if (rows) {
    if (left.size() < 2 || right.size() < 2) return damaged("there are no rows");
    left.insert(left.end() - 1, Dim(1));    // [P, 1, M]
    right.insert(right.end() - 2, Dim(1));  // [1, R, M]
    a = n.b.reshape(a, left);
    b = n.b.reshape(b, right);
  }
  ValueId difference = n.b.op("Sub", {a, b});
  if (!rows) difference = n.b.op("Add", {difference, n.b.scalar(t, n.f("eps", 1e-6))});
  if (!n.b.ok()) return n.done(kNoId);
  const int64_t last = n.b.rank(difference) - 1;
  const bool keep = n.flag("keepdim", false);
  if (p == 2) return n.done(n.b.reduce("l2", difference, {last}, keep));
  const ValueId size = n.b.op("Abs", {difference});
  if (p == 1) return n.done(n.b.reduce("sum", size, {last}, keep));
  if (std::isinf(p)) return n.done(n.b.reduce("max", size, {last}, keep));
  if (!(p > 0)) return unsupported("distances of this order are not supported");
  const ValueId sum = n.b.reduce("sum", n.b.op("Pow", {size, n.b.scalar(t, p)}), {last}, keep);
  return n.done(n.b.op("Pow", {sum, n.b.scalar(t, 1 / p)}));
}

// Differences of neighbours.
Result<Values> diff(Node& n) {
  ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x)), times = n.i("n", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (n.has("prepend") || n.has("append")) return unsupported("prepend and append are not supported");
  const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!size || times < 0 || times > *size) return unsupported("the dimension must be known and longer");
  for (int64_t i = 0; i < times; ++i)
    x = n.b.op("Sub", {n.b.slice(x, axis, 1, *size - i), n.b.slice(x, axis, 0, *size - i - 1)});
  return n.done(x);
}

}  // namespace lathe::pt2
