// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/handlers.h"
#include "ops/arg_reduce.h"
#include "ops/cumsum.h"
#include "ops/top_k.h"

namespace lathe::tflite {

// Input 1 holds the axes. Truth values have the order of 0 and 1: any is their maximum, all their minimum.
Result<Values> reduce(Node& n) {
  LATHE_TRY(auto given, n.integers(1, "the axes"));
  if (n.rank(0) == 0) return n.done(n.in(0));
  LATHE_TRY(auto axes, Node::axes(std::move(given), n.rank(0)));
  const auto* o = n.options<fb::ReducerOptions>();
  const bool truth = n.dtype(0) == DType::kBool;
  const ValueId x = truth ? n.b.cast(n.in(0), DType::kU8) : n.in(0);
  const ValueId y = n.b.reduce(n.canonical(), x, std::move(axes), o && o->keep_dims());
  return n.done(truth ? n.b.cast(y, DType::kBool) : y);
}

Result<Values> arg_reduce(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
  ValueId x = n.in(0);
  if (n.dtype(0) == DType::kBool) x = n.b.cast(x, DType::kU8);
  const ValueId y = n.b.make<ops::ArgReduce>({x}, [&](ops::ArgReduce& a) {
    a.kind = n.canonical();
    a.axis = axis;
    a.keepdims = false;
  });
  return n.done(n.b.cast(y, n.out_dtype(0)));
}

Result<Values> cumsum(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
  const auto* o = n.options<fb::CumsumOptions>();
  return n.done(n.b.make<ops::CumSum>({n.in(0), n.b.i64(axis)}, [&](ops::CumSum& c) {
    c.exclusive = o && o->exclusive();
    c.reverse = o && o->reverse();
  }));
}

// Along the last dimension; of equal elements the first.
Result<Values> top_k(Node& n) {
  if (n.rank(0) < 1) return damaged("the input has no dimension");
  auto op = std::make_shared<ops::TopK>();
  op->axis = n.rank(0) - 1;
  auto y = n.b.add_all(std::move(op), {n.in(0), n.as_i64(1)});
  if (y.size() == 2) y[1] = n.b.cast(y[1], n.out_dtype(1));
  return n.done(std::move(y));
}

}  // namespace lathe::tflite
