// SPDX-License-Identifier: Apache-2.0
// Normalisations. Those over trailing dimensions are LayerNorm; others are brought to that form or composed.
#include <algorithm>
#include <numeric>

#include "import/pt2/handlers.h"
#include "ops/layer_norm.h"
#include "ops/pool.h"
#include "ops/softmax.h"

namespace lathe::pt2 {

namespace {

// A vector of one value a channel, shaped to broadcast against [N, C, spatial…].
ValueId per_channel(Node& n, ValueId v, int64_t rank) {
  if (v == kNoId || !n.b.ok()) return v;
  Shape s(static_cast<size_t>(std::max<int64_t>(rank - 1, 1)), Dim(1));
  s[0] = product(n.b.shape(v));
  return n.b.reshape(v, s);
}

// x * weight + bias, both optional.
ValueId affine(Node& n, ValueId x, ValueId weight, ValueId bias) {
  const int64_t rank = n.b.rank(x);
  if (weight != kNoId) x = n.b.op("Mul", {x, per_channel(n, weight, rank)});
  if (bias != kNoId) x = n.b.op("Add", {x, per_channel(n, bias, rank)});
  return x;
}

ValueId normalized(Node& n, ValueId x, int64_t axis, double epsilon, bool rms = false, ValueId scale = kNoId,
                   ValueId bias = kNoId) {
  Values in = {x};
  if (scale != kNoId || bias != kNoId) in.push_back(scale);
  if (bias != kNoId) in.push_back(bias);
  return n.b.make<ops::LayerNorm>(std::move(in), [&](ops::LayerNorm& l) {
    l.axis = axis;
    l.epsilon = epsilon;
    l.rms = rms;
  });
}

// [N, C, spatial…] normalised over groups of channels.
Result<ValueId> by_groups(Node& n, ValueId x, int64_t groups, double epsilon) {
  const Shape s = n.b.shape(x);
  if (s.size() < 2) return damaged("the input has no channels");
  if (groups < 1 || !s[1].is_const() || s[1].value() % groups != 0)
    return damaged("the groups do not divide the channels of " + shape_str(s));
  const Dim size = product({s.begin() + 2, s.end()}) * (s[1].value() / groups);
  const ValueId y = normalized(n, n.b.reshape(x, {s[0], groups, size}), 2, epsilon);
  return n.b.ok() ? n.b.reshape(y, s) : kNoId;
}

Values first_of(Node& n, ValueId y) {
  Values r(std::max<size_t>(n.output_count(), 1), kNoId);
  r[0] = y;
  return r;
}

}  // namespace

Result<Values> batch_norm(Node& n) {
  const ValueId x = n.tensor("input"), weight = n.optional("weight"), bias = n.optional("bias");
  const ValueId mean = n.optional("running_mean"), variance = n.optional("running_var");
  const double epsilon = n.f("eps", 1e-5);
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(x);
  if (n.flag("training", false)) {
    if (mean != kNoId) return unsupported("the model was exported for training; call eval() first");
    // Statistics of the batch: channels first, normalised over all else.
    std::vector<int64_t> axes = {0};
    for (int64_t d = 2; d < n.b.rank(x); ++d) axes.push_back(d);
    const ValueId centred = n.b.op("Sub", {x, n.b.reduce("mean", x, axes, true)});
    const ValueId spread = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
    const ValueId y = n.b.op("Div", {centred, n.b.op("Sqrt", {n.b.op("Add", {spread, n.b.scalar(t, epsilon)})})});
    return n.done(first_of(n, affine(n, y, weight, bias)));
  }
  if (mean == kNoId || variance == kNoId) return damaged("the statistics are missing");
  const ValueId deviation = n.b.op("Sqrt", {n.b.op("Add", {variance, n.b.scalar(t, epsilon)})});
  const ValueId scale = weight == kNoId ? n.b.op("Reciprocal", {deviation}) : n.b.op("Div", {weight, deviation});
  const ValueId shift = n.b.op("Mul", {mean, scale});
  const ValueId offset = bias == kNoId ? n.b.op("Neg", {shift}) : n.b.op("Sub", {bias, shift});
  return n.done(first_of(n, affine(n, x, scale, offset)));
}

Result<Values> layer_norm(Node& n) {
  const ValueId x = n.tensor("input"), weight = n.optional("weight"), bias = n.optional("bias");
  const auto trailing = static_cast<int64_t>(n.dims("normalized_shape").size());
  if (!n.b.ok()) return n.done(kNoId);
  const int64_t axis = n.b.rank(x) - trailing;
  if (axis < 0 || trailing == 0) return damaged("normalized_shape does not fit the input");
  Values r = first_of(n, normalized(n, x, axis, n.f("eps", 1e-5), false, weight, bias));
  if (r.size() == 3) {  // mean and reciprocal deviation
    std::vector<int64_t> axes(static_cast<size_t>(trailing));
    std::iota(axes.begin(), axes.end(), axis);
    r[1] = n.b.reduce("mean", x, axes, true);
    const ValueId centred = n.b.op("Sub", {x, r[1]});
    const ValueId spread = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
    const ValueId moved = n.b.op("Add", {spread, n.b.scalar(n.b.dtype(x), n.f("eps", 1e-5))});
    r[2] = n.b.op("Reciprocal", {n.b.op("Sqrt", {moved})});
  }
  return n.done(std::move(r));
}

Result<Values> rms_norm(Node& n) {
  const ValueId x = n.tensor("input"), weight = n.optional("weight");
  const auto trailing = static_cast<int64_t>(n.dims("normalized_shape").size());
  if (!n.b.ok()) return n.done(kNoId);
  const int64_t axis = n.b.rank(x) - trailing;
  if (axis < 0 || trailing == 0) return damaged("normalized_shape does not fit the input");
  // None: the smallest step at 1 of the type.
  const double epsilon = n.b.dtype(x) == DType::kF64 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
  return n.done(first_of(n, normalized(n, x, axis, n.f("eps", epsilon), true, weight)));
}

Result<Values> group_norm(Node& n) {
  const ValueId x = n.tensor("input"), weight = n.optional("weight"), bias = n.optional("bias");
  const int64_t groups = n.has("num_groups") ? n.i("num_groups", 1) : n.i("group", 1);
  if (!n.b.ok()) return n.done(kNoId);
  LATHE_TRY(const ValueId y, by_groups(n, x, groups, n.f("eps", 1e-5)));
  return n.done(first_of(n, affine(n, y, weight, bias)));
}

Result<Values> instance_norm(Node& n) {
  if (!n.flag("use_input_stats", true)) return batch_norm(n);
  const ValueId x = n.tensor("input"), weight = n.optional("weight"), bias = n.optional("bias");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  if (s.size() < 3 || !s[1].is_const()) return unsupported("the channels of " + shape_str(s) + " are not known");
  LATHE_TRY(const ValueId y, by_groups(n, x, s[1].value(), n.f("eps", 1e-5)));
  return n.done(affine(n, y, weight, bias));
}

// The row says whether the logarithm is wanted.
Result<Values> softmax(Node& n) {
  ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  DType t = n.dtype("dtype", n.b.dtype(x));
  if (n.flag("half_to_float", false)) t = DType::kF32;
  x = n.b.cast(x, t);
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x));
  const bool scalar = n.b.rank(x) == 0;
  if (scalar) x = n.b.reshape(x, {1});
  ValueId y = n.b.make<ops::Softmax>({x}, [&](ops::Softmax& o) {
    o.axis = axis;
    o.log = n.canonical() == "log";
  });
  if (scalar && n.b.ok()) y = n.b.reshape(y, {});
  return n.done(y);
}

// v * g / |v|, the length taken over all dimensions but one.
Result<Values> weight_norm(Node& n) {
  const ValueId v = n.tensor("v"), g = n.tensor("g");
  if (!n.b.ok()) return n.done(kNoId);
  const int64_t axis = n.axis(n.i("dim", 0), n.b.rank(v));
  std::vector<int64_t> axes;
  for (int64_t d = 0; d < n.b.rank(v); ++d)
    if (d != axis) axes.push_back(d);
  const ValueId length = n.b.reduce("l2", v, axes, true);
  Values r = first_of(n, n.b.op("Mul", {v, n.b.op("Div", {g, length})}));
  if (r.size() > 1) r[1] = length;
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
