// SPDX-License-Identifier: Apache-2.0
// Normalisations. Those with statistics of the input are composed of reductions; LayerNorm and Softmax are operators.
#include <algorithm>
#include <numeric>

#include "import/onnx/handlers.h"
#include "ops/layer_norm.h"
#include "ops/pool.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

std::vector<int64_t> axes_from(int64_t first, int64_t rank) {
  std::vector<int64_t> axes(static_cast<size_t>(std::max<int64_t>(rank - first, 0)));
  std::iota(axes.begin(), axes.end(), first);
  return axes;
}

// A vector of one value a channel, shaped to broadcast against [N, C, spatial…].
ValueId per_channel(Node& n, ValueId v, int64_t rank) {
  if (!n.b.ok() || n.b.rank(v) != 1) return v;
  Shape s(static_cast<size_t>(std::max<int64_t>(rank - 1, 1)), Dim(1));
  s[0] = n.b.shape(v)[0];
  return n.b.reshape(v, s);
}

struct Normalized {
  ValueId value, mean, inverse_deviation;
};

// (x - mean) / sqrt(variance + epsilon) over `axes`.
Normalized normalize(Node& n, ValueId x, const std::vector<int64_t>& axes, double epsilon) {
  const DType t = n.b.dtype(x);
  const ValueId mean = n.b.reduce("mean", x, axes, true);
  const ValueId centred = n.b.op("Sub", {x, mean});
  const ValueId variance = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
  const ValueId inverse = n.b.op("Reciprocal", {n.b.op("Sqrt", {n.b.op("Add", {variance, n.b.scalar(t, epsilon)})})});
  return {n.b.op("Mul", {centred, inverse}), mean, inverse};
}

}  // namespace

namespace {

// Statistics of this batch; the running ones move towards them.
Result<Values> batch_norm_training(Node& n) {
  if (n.input_count() < 5 || n.rank(0) < 2) return damaged("takes 5 inputs");
  const DType t = n.dtype(0);
  std::vector<int64_t> axes = axes_from(2, n.rank(0));
  axes.insert(axes.begin(), 0);
  const ValueId mean = n.b.reduce("mean", n.in(0), axes, true);
  const ValueId centred = n.b.op("Sub", {n.in(0), mean});
  const ValueId variance = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
  const ValueId deviation = n.b.op("Sqrt", {n.b.op("Add", {variance, n.b.scalar(t, n.f("epsilon", 1e-5))})});
  const ValueId scaled =
      n.b.op("Mul", {n.b.op("Div", {centred, deviation}), per_channel(n, n.b.cast(n.in(1), t), n.rank(0))});
  const ValueId y = n.b.op("Add", {scaled, per_channel(n, n.b.cast(n.in(2), t), n.rank(0))});
  const double momentum = n.f("momentum", 0.9);
  const auto running = [&](size_t i, ValueId now) {
    const DType own = n.dtype(i);
    const ValueId old = n.b.op("Mul", {n.in(i), n.b.scalar(own, momentum)});
    const ValueId part = n.b.op("Mul", {n.b.cast(n.b.reshape(now, n.shape(i)), own), n.b.scalar(own, 1 - momentum)});
    return n.b.op("Add", {old, part});
  };
  return n.done({y, n.wants(1) ? running(3, mean) : kNoId, n.wants(2) ? running(4, variance) : kNoId});
}

}  // namespace

Result<Values> batch_norm(Node& n) {
  if (n.i("training_mode", 0) != 0) return batch_norm_training(n);
  for (size_t i = 1; i < std::max<size_t>(n.output_count(), 1); ++i)
    if (n.wants(i)) return unsupported("the outputs of training are not supported");
  if (n.input_count() < 5) return damaged("takes 5 inputs");
  const DType t = n.dtype(0);
  const auto stat = [&](size_t i) { return n.b.cast(n.in(i), t); };
  const ValueId deviation = n.b.op("Sqrt", {n.b.op("Add", {stat(4), n.b.scalar(t, n.f("epsilon", 1e-5))})});
  const ValueId scale = n.b.op("Div", {stat(1), deviation});
  const ValueId bias = n.b.op("Sub", {stat(2), n.b.op("Mul", {stat(3), scale})});
  const ValueId scaled = n.b.op("Mul", {n.in(0), per_channel(n, scale, n.rank(0))});
  return n.done(n.b.op("Add", {scaled, per_channel(n, bias, n.rank(0))}));
}

Result<Values> instance_norm(Node& n) {
  const Normalized x = normalize(n, n.in(0), axes_from(2, n.rank(0)), n.f("epsilon", 1e-5));
  const ValueId scaled = n.b.op("Mul", {x.value, per_channel(n, n.in(1), n.rank(0))});
  return n.done(n.b.op("Add", {scaled, per_channel(n, n.in(2), n.rank(0))}));
}

Result<Values> group_norm(Node& n) {
  const int64_t groups = n.i("num_groups", 0);
  const Shape s = n.shape(0);
  if (s.size() < 2 || groups < 1 || !s[1].is_const() || s[1].value() % groups != 0)
    return damaged("num_groups does not divide the channels of " + shape_str(s));
  const Dim size = product({s.begin() + 2, s.end()}) * (s[1].value() / groups);
  const ValueId grouped = n.b.reshape(n.in(0), {s[0], groups, size});
  ValueId x = normalize(n, grouped, {2}, n.f("epsilon", 1e-5)).value;
  ValueId scale = n.in(1), bias = n.in(2);
  if (n.opset() < 21 && n.b.shape(scale).size() == 1 && n.b.shape(scale)[0].equals(groups) &&
      !s[1].equals(groups)) {  // one value a group
    x = n.b.op("Mul", {x, n.b.reshape(scale, {groups, 1})});
    x = n.b.op("Add", {x, n.b.reshape(bias, {groups, 1})});
    return n.done(n.b.ok() ? n.b.reshape(x, s) : kNoId);
  }
  if (!n.b.ok()) return n.done(kNoId);
  x = n.b.op("Mul", {n.b.reshape(x, s), per_channel(n, scale, n.rank(0))});
  return n.done(n.b.op("Add", {x, per_channel(n, bias, n.rank(0))}));
}

Result<Values> layer_norm(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0)));
  const double epsilon = n.f("epsilon", 1e-5);
  if (n.wants(1) || n.wants(2)) {
    const Normalized x = normalize(n, n.in(0), axes_from(axis, n.rank(0)), epsilon);
    ValueId y = n.b.op("Mul", {x.value, n.in(1)});
    if (n.has(2)) y = n.b.op("Add", {y, n.in(2)});
    return n.done({y, x.mean, x.inverse_deviation});
  }
  Values inputs = {n.in(0), n.in(1)};
  if (n.has(2)) inputs.push_back(n.in(2));
  return n.done(n.b.make<ops::LayerNorm>(std::move(inputs), [&](ops::LayerNorm& l) {
    l.axis = axis;
    l.epsilon = epsilon;
  }));
}

Result<Values> rms_norm(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0)));
  return n.done(n.b.make<ops::LayerNorm>({n.in(0), n.in(1)}, [&](ops::LayerNorm& l) {
    l.axis = axis;
    l.epsilon = n.f("epsilon", 1e-5);
    l.rms = true;
  }));
}

// x / (bias + alpha * mean of the squares of `size` neighbouring channels) ^ beta; the mean is an average pool over the
// channels that counts the padding.
Result<Values> lrn(Node& n) {
  const int64_t size = n.i("size", 0);
  const Shape s = n.shape(0);
  if (size < 1 || size >= int64_t{1} << 31 || s.size() < 2)
    return damaged("size " + std::to_string(size) + " is out of range");
  const DType t = n.dtype(0);
  const ValueId squares =
      n.b.reshape(n.b.op("Mul", {n.in(0), n.in(0)}), {s[0], s[1], 1, product({s.begin() + 2, s.end()})});
  ValueId mean = n.b.make<ops::Pool>({squares}, [&](ops::Pool& p) {
    p.kind = "average";
    p.kernel = {size, 1};
    p.pads = {(size - 1) / 2, 0, size - 1 - (size - 1) / 2, 0};
    p.count_include_pad = true;
  });
  if (!n.b.ok()) return n.done(kNoId);
  mean = n.b.reshape(mean, s);
  const ValueId base =
      n.b.op("Add", {n.b.op("Mul", {mean, n.b.scalar(t, n.f("alpha", 1e-4))}), n.b.scalar(t, n.f("bias", 1))});
  return n.done(n.b.op("Div", {n.in(0), n.b.op("Pow", {base, n.b.scalar(t, n.f("beta", 0.75))})}));
}

Result<Values> lp_norm(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0)));
  const int64_t p = n.i("p", 2);
  if (p != 1 && p != 2) return damaged("p = " + std::to_string(p) + " is neither 1 nor 2");
  const ValueId norm = n.b.reduce(p == 1 ? "l1" : "l2", n.in(0), {axis}, true);
  // 0 / 0 is 0 here.
  const ValueId zero = n.b.scalar(n.dtype(0), 0);
  return n.done(n.b.op("Where", {n.b.op("Equal", {norm, zero}), zero, n.b.op("Div", {n.in(0), norm})}));
}

Result<Values> mean_variance_norm(Node& n) {
  LATHE_TRY(const auto axes, Node::axes(n.ints("axes").value_or(std::vector<int64_t>{0, 2, 3}), n.rank(0)));
  const ValueId mean = n.b.reduce("mean", n.in(0), axes, true);
  const ValueId centred = n.b.op("Sub", {n.in(0), mean});
  const ValueId deviation = n.b.op("Sqrt", {n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true)});
  return n.done(n.b.op("Div", {centred, n.b.op("Add", {deviation, n.b.scalar(n.dtype(0), 1e-9)})}));
}

// Before opset 13 the input was taken as a matrix, split at `axis`.
Result<Values> softmax(Node& n) {
  const bool matrix = n.opset() < 13;
  LATHE_TRY(int64_t axis, Node::axis(n.i("axis", matrix ? 1 : -1), std::max<int64_t>(n.rank(0), 1)));
  const Shape s = n.shape(0);
  ValueId x = n.in(0);
  const bool lift = s.empty() || (matrix && axis != n.rank(0) - 1);
  if (lift) {
    x = n.b.reshape(x, {product({s.begin(), s.begin() + (s.empty() ? 0 : axis)}),
                        product({s.begin() + (s.empty() ? 0 : axis), s.end()})});
    axis = 1;
  }
  const ValueId y = n.b.make<ops::Softmax>({x}, [&](ops::Softmax& o) {
    o.axis = axis;
    o.log = n.canonical() == "log";
  });
  return n.done(lift && n.b.ok() ? n.b.reshape(y, s) : y);
}

}  // namespace lathe::onnx
