// SPDX-License-Identifier: Apache-2.0
#include "import/tensorflow/handlers.h"
#include "ops/layer_norm.h"
#include "ops/pool.h"
#include "ops/softmax.h"

namespace lathe::tensorflow {

// FusedBatchNorm: x, scale, offset, mean, variance. With is_training (how Keras 2 writes its layer normalisation: one
// sample whose rows are channels) the statistics are those of x.
Result<Items> batch_norm(Node& n) {
  LATHE_CHECK(n.needs(5));
  if (n.rank(0) != 4) return unsupported("takes a tensor of rank 4");
  const bool first = n.s("data_format", "NHWC").starts_with("NC");
  const DType stat = n.dtype(1);
  const double epsilon = n.f("epsilon", 1e-4);
  const auto spread = [&](ValueId v) {  // one value a channel, to broadcast against x
    if (!first || n.b.rank(v) != 1) return v;
    return n.b.reshape(v, {n.b.shape(v)[0], 1, 1});
  };
  const auto inverse = [&](ValueId variance) {
    return n.b.op("Reciprocal", {n.b.op("Sqrt", {n.b.op("Add", {variance, n.b.scalar(stat, epsilon)})})});
  };
  const ValueId x = n.b.cast(n.in(0), stat);
  ValueId y = kNoId, mean = n.in(3), variance = n.in(4);
  if (!n.flag("is_training", true)) {
    const ValueId scale = n.b.op("Mul", {n.in(1), inverse(variance)});
    const ValueId offset = n.b.op("Sub", {n.in(2), n.b.op("Mul", {mean, scale})});
    y = n.b.op("Add", {n.b.op("Mul", {x, spread(scale)}), spread(offset)});
  } else {
    const Shape s = n.shape(0);
    const std::vector<int64_t> axes = first ? std::vector<int64_t>{0, 2, 3} : std::vector<int64_t>{0, 1, 2};
    ValueId normal = kNoId;
    if (first && s[0].equals(1)) {
      const ValueId rows = n.b.make<ops::LayerNorm>({n.b.reshape(x, {s[1], s[2] * s[3]})}, [&](ops::LayerNorm& l) {
        l.axis = 1;
        l.epsilon = epsilon;
      });
      normal = n.b.reshape(rows, s);
    }
    mean = n.b.reduce("mean", x, axes, true);
    const ValueId centred = n.b.op("Sub", {x, mean});
    variance = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
    if (normal == kNoId) normal = n.b.op("Mul", {centred, inverse(variance)});
    y = n.b.op("Add", {n.b.op("Mul", {normal, spread(n.in(1))}), spread(n.in(2))});
    if (n.b.ok()) {
      const Shape channels = {s[first ? 1 : 3]};
      mean = n.b.reshape(mean, channels);
      variance = n.b.reshape(variance, channels);
    }
  }
  return n.done(Items{n.b.cast(y, n.dtype(0)), mean, variance, mean, variance, variance});
}

Result<Items> softmax(Node& n) {
  LATHE_CHECK(n.needs(1));
  if (n.rank(0) < 1) return damaged("takes a tensor of rank 1 at least");
  return n.done(n.b.make<ops::Softmax>({n.in(0)}, [&](ops::Softmax& s) {
    s.axis = n.rank(0) - 1;
    s.log = n.canonical() == "log";
  }));
}

// x / (bias + alpha * sum of the squares of 2 * depth_radius + 1 channels) ^ beta
Result<Items> lrn(Node& n) {
  LATHE_CHECK(n.needs(1));
  const int64_t radius = n.i("depth_radius", 5);
  if (radius < 0 || radius >= int64_t{1} << 20 || n.rank(0) != 4) return damaged("depth_radius is out of range");
  const Shape s = n.shape(0);
  const ValueId squares = n.b.reshape(n.b.op("Mul", {n.in(0), n.in(0)}), {s[0] * s[1] * s[2], s[3], 1, 1});
  const ValueId mean = n.b.make<ops::Pool>({squares}, [&](ops::Pool& p) {
    p.kind = "average";
    p.kernel = {2 * radius + 1, 1};
    p.pads = {radius, 0, radius, 0};
    p.count_include_pad = true;
  });
  if (!n.b.ok()) return n.done(mean);
  const double alpha = n.f("alpha", 1) * static_cast<double>(2 * radius + 1);
  const ValueId base =
      n.b.op("Add", {n.b.op("Mul", {n.b.reshape(mean, s), n.number(alpha)}), n.number(n.f("bias", 1))});
  return n.done(n.b.op("Div", {n.in(0), n.b.op("Pow", {base, n.number(n.f("beta", 0.5))})}));
}

}  // namespace lathe::tensorflow
