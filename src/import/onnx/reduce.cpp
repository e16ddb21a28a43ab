// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "ops/arg_reduce.h"

namespace lathe::onnx {

// Axes are an attribute before opset 18 (13 for ReduceSum). The row names the kind.
Result<Values> reduce(Node& n) {
  if (computed(n, 1)) {
    LATHE_TRY(const int64_t count, axis_count(n, 1));
    if (count > 0) {
      const bool truth = n.dtype(0) == DType::kBool;
      LATHE_TRY(const Values y, reduce_computed(n, truth ? n.b.cast(n.in(0), DType::kU8) : n.in(0)));
      return n.done(truth ? n.b.cast(y[0], DType::kBool) : y[0]);
    }
  }
  std::optional<std::vector<int64_t>> given;
  if (!computed(n, 1)) {
    LATHE_TRY(given, n.axes_of(1));
  }
  std::vector<int64_t> axes;
  if (given && !given->empty()) {
    LATHE_TRY(axes, Node::axes(*given, n.rank(0)));
  } else if (n.i("noop_with_empty_axes", 0) == 0) {
    axes.resize(static_cast<size_t>(n.rank(0)));
    std::iota(axes.begin(), axes.end(), 0);
  }
  ValueId x = n.in(0);
  // Truth values have the order of 0 and 1.
  const bool truth = n.dtype(0) == DType::kBool;
  if (truth) x = n.b.cast(x, DType::kU8);
  const ValueId y = n.b.reduce(n.canonical(), x, std::move(axes), n.i("keepdims", 1) != 0);
  return n.done(truth ? n.b.cast(y, DType::kBool) : y);
}

Result<Values> arg_reduce(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(0)));
  return n.done(n.b.make<ops::ArgReduce>({n.in(0)}, [&](ops::ArgReduce& a) {
    a.kind = n.canonical();
    a.axis = axis;
    a.keepdims = n.i("keepdims", 1) != 0;
    a.select_last = n.i("select_last_index", 0) != 0;
  }));
}

}  // namespace lathe::onnx
