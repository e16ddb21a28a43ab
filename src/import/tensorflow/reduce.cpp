// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

#include <algorithm>

#include "import/tensorflow/handlers.h"
#include "ops/arg_reduce.h"
#include "ops/cumsum.h"

namespace lathe::tensorflow {

Result<Items> reduce(Node& n) {
  LATHE_TRY(auto axes, n.integers(1, "the reduced axes"));
  for (int64_t& a : axes) {
    LATHE_TRY(a, Node::axis(a, n.rank(0)));
  }
  std::ranges::sort(axes);
  axes.erase(std::ranges::unique(axes).begin(), axes.end());
  ValueId x = n.in(0);
  const bool truth = n.dtype(0) == DType::kBool;  // has the order of 0 and 1
  if (truth) x = n.b.cast(x, DType::kU8);
  if (axes.empty()) return n.done(n.in(0));
  const ValueId y = n.b.reduce(n.canonical(), x, std::move(axes), n.flag("keep_dims"));
  return n.done(truth ? n.b.cast(y, DType::kBool) : y);
}

Result<Items> arg_reduce(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
  DType type = DType::kI64;
  if (n.attr("output_type")) {
    LATHE_TRY(type, n.type("output_type"));
  }
  const ValueId y = n.b.make<ops::ArgReduce>({n.in(0)}, [&](ops::ArgReduce& a) {
    a.kind = n.canonical();
    a.axis = axis;
    a.keepdims = false;
  });
  return n.done(n.b.cast(y, type));
}

Result<Items> cumsum(Node& n) {
  LATHE_TRY(const int64_t given, n.integer(1, "the axis"));
  LATHE_TRY(const int64_t axis, Node::axis(given, n.rank(0)));
  return n.done(n.b.make<ops::CumSum>({n.in(0), n.b.i64(axis)}, [&](ops::CumSum& c) {
    c.exclusive = n.flag("exclusive");
    c.reverse = n.flag("reverse");
  }));
}

}  // namespace lathe::tensorflow
