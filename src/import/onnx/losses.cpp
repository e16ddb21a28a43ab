// SPDX-License-Identifier: Apache-2.0
// Operators that pick one element along an axis by its index, as comparisons with 0, 1, 2 …: they fuse into reductions.
#include <numeric>

#include "import/onnx/handlers.h"
#include "ops/arg_reduce.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

// 0, 1, 2 … along `axis` of a tensor of `rank`, to broadcast against it.
Result<ValueId> iota(Node& n, const Dim& size, int64_t axis, int64_t rank) {
  const auto count = size.as_const();
  if (!count || *count > 1 << 24) return unsupported("the dimension of " + size.str() + " classes is not constant");
  std::vector<int64_t> values(static_cast<size_t>(*count)), dims(static_cast<size_t>(rank - axis), 1);
  std::iota(values.begin(), values.end(), 0);
  dims[0] = *count;
  return n.b.constant(Tensor::vector_i64(values).reshaped(std::move(dims)));
}

// -x[target] * weight[target] along axis 1, reduced; x [N, C, …], target [N, …].
Result<Values> pick_loss(Node& n, ValueId x) {
  const int64_t rank = n.b.rank(x);
  if (rank < 2 || n.rank(1) != rank - 1)
    return damaged("input " + shape_str(n.b.shape(x)) + " and target " + shape_str(n.shape(1)) + " do not fit");
  const DType t = n.b.dtype(x);
  const ValueId target = n.b.cast(n.in(1), DType::kI64), zero = n.b.scalar(t, 0);
  Shape lifted = n.shape(1);
  lifted.insert(lifted.begin() + 1, Dim(1));
  LATHE_TRY(const ValueId classes, iota(n, n.b.shape(x)[1], 1, rank));
  const ValueId chosen = n.b.op("Equal", {classes, n.b.reshape(target, lifted)});
  ValueId loss = n.b.op("Neg", {n.b.reduce("sum", n.b.op("Where", {chosen, x, zero}), {1}, false)});
  ValueId weight = kNoId;
  if (n.has(2)) {
    Shape per_class(static_cast<size_t>(rank - 1), Dim(1));
    per_class[0] = n.shape(2)[0];
    weight = n.b.reduce("sum", n.b.op("Where", {chosen, n.b.reshape(n.in(2), per_class), zero}), {1}, false);
  }
  if (n.attr("ignore_index")) {
    const ValueId ignored = n.b.op("Equal", {target, n.b.i64(n.i("ignore_index", 0))});
    weight = n.b.op("Where", {ignored, zero, weight != kNoId ? weight : n.b.scalar(t, 1)});
  }
  if (weight != kNoId) loss = n.b.op("Mul", {loss, weight});
  const std::string reduction = n.s("reduction", "mean");
  if (reduction == "none") return n.done(loss);
  std::vector<int64_t> axes(static_cast<size_t>(rank - 1));
  std::iota(axes.begin(), axes.end(), 0);
  if (reduction == "mean" && weight == kNoId) return n.done(n.b.reduce("mean", loss, axes, false));
  loss = n.b.reduce("sum", loss, axes, false);
  if (reduction == "mean") loss = n.b.op("Div", {loss, n.b.reduce("sum", weight, axes, false)});
  return n.done(loss);
}

}  // namespace

Result<Values> nll_loss(Node& n) { return pick_loss(n, n.in(0)); }

Result<Values> cross_entropy(Node& n) {
  if (n.rank(0) < 2) return damaged("scores must be [N, C, …]");
  const ValueId logs = n.b.make<ops::Softmax>({n.in(0)}, [](ops::Softmax& s) {
    s.axis = 1;
    s.log = true;
  });
  LATHE_TRY(Values out, pick_loss(n, logs));
  out.push_back(logs);
  return n.done(std::move(out));
}

// 1 at the first maximum along the axis, 0 elsewhere. Before opset 13 the input was taken as a matrix.
Result<Values> hardmax(Node& n) {
  const bool matrix = n.opset() < 13;
  LATHE_TRY(int64_t axis, Node::axis(n.i("axis", matrix ? 1 : -1), n.rank(0)));
  const Shape s = n.shape(0);
  ValueId x = n.in(0);
  if (matrix) {
    x = n.b.reshape(x, {product({s.begin(), s.begin() + axis}), product({s.begin() + axis, s.end()})});
    axis = 1;
  }
  const ValueId at = n.b.make<ops::ArgReduce>({x}, [&](ops::ArgReduce& a) { a.axis = axis; });
  LATHE_TRY(const ValueId index, iota(n, n.b.shape(x)[static_cast<size_t>(axis)], axis, n.b.rank(x)));
  const ValueId y = n.b.cast(n.b.op("Equal", {index, at}), n.dtype(0));
  return n.done(n.b.ok() ? n.b.reshape(y, s) : kNoId);
}

}  // namespace lathe::onnx
