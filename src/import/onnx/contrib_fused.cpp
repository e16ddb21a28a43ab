// SPDX-License-Identifier: Apache-2.0
// com.microsoft operators that ONNX Runtime's optimizer and exporters fuse of plain ones: activations, convolutions,
// matrix products, normalisations.
#include <algorithm>
#include <numeric>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/conv_transpose.h"
#include "ops/gather.h"
#include "ops/gelu.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

// An activation of a fused operator; its parameters in the order of the operator's own attributes (Clip: min, max).
Result<ValueId> activated(Node& n, ValueId x, const std::string& kind, const std::vector<double>& given) {
  const auto parameter = [&](size_t i, double otherwise) { return i < given.size() ? given[i] : otherwise; };
  if (kind.empty()) return x;
  if (kind == "Relu" || kind == "Sigmoid" || kind == "Tanh" || kind == "HardSwish" || kind == "Softplus" ||
      kind == "Softsign")
    return n.b.op(kind, {x});
  if (kind == "LeakyRelu") return n.b.op(kind, {x}, {{"alpha", parameter(0, 0.01)}});
  if (kind == "Elu") return n.b.op(kind, {x}, {{"alpha", parameter(0, 1)}});
  if (kind == "HardSigmoid") return n.b.op(kind, {x}, {{"alpha", parameter(0, 0.2)}, {"beta", parameter(1, 0.5)}});
  if (kind == "Clip") {
    if (given.size() < 2) return damaged("the activation Clip takes two parameters");
    const DType t = n.b.dtype(x);
    return n.b.op(kind, {x, n.b.scalar(t, given[0]), n.b.scalar(t, given[1])});
  }
  return unsupported("the activation \"" + kind + "\" is not supported");
}

ValueId gelu(Node& n, ValueId x, const char* approximate) {
  return n.b.make<ops::Gelu>({x}, [&](ops::Gelu& g) { g.approximate = approximate; });
}

ValueId layer_normalized(Node& n, ValueId x, ValueId scale, ValueId bias, int64_t axis, bool rms) {
  Values inputs = {x, scale};
  if (bias != kNoId) inputs.push_back(bias);
  return n.b.make<ops::LayerNorm>(std::move(inputs), [&](ops::LayerNorm& l) {
    l.axis = axis;
    l.epsilon = n.f("epsilon", rms && n.op_type() == "SimplifiedLayerNormalization" ? 1e-5 : 1e-12);
    l.rms = rms;
  });
}

// 1 / sqrt(mean(x^2) + epsilon) over the last dimensions.
ValueId inverse_root_mean_square(Node& n, ValueId x, int64_t axis) {
  std::vector<int64_t> axes(static_cast<size_t>(n.b.rank(x) - axis));
  std::iota(axes.begin(), axes.end(), axis);
  const ValueId mean = n.b.reduce("mean", n.b.op("Mul", {x, x}), axes, true);
  const ValueId sum = n.b.op("Add", {mean, n.b.scalar(n.b.dtype(x), n.f("epsilon", 1e-5))});
  return n.b.op("Reciprocal", {n.b.op("Sqrt", {sum})});
}

}  // namespace

// X, W, B?, Z?: activation(conv(X, W, B) + Z)
Result<Values> fused_conv(Node& n) {
  Node inner = n.with_inputs({n.in(0), n.in(1), n.in(2)});
  LATHE_TRY(const Values y, conv(inner));
  const ValueId sum = n.has(3) ? n.b.op("Add", {y[0], n.in(3)}) : y[0];
  LATHE_TRY(const ValueId out, activated(n, sum, n.s("activation", ""), n.floats("activation_params")));
  return n.done(out);
}

Result<Values> fused_gemm(Node& n) {
  Node inner = n.with_inputs({n.in(0), n.in(1), n.in(2)});
  LATHE_TRY(const Values y, gemm(inner));
  std::vector<double> parameters;
  for (const char* name : {"activation_alpha", "activation_beta", "activation_gamma"}) {
    if (!n.attr(name)) break;
    parameters.push_back(n.f(name, 0));
  }
  LATHE_TRY(const ValueId out, activated(n, y[0], n.s("activation", ""), parameters));
  return n.done(out);
}

// alpha * A B; the operands' last two dimensions, or (transBatch) the first and the batch, may be exchanged.
Result<Values> fused_matmul(Node& n) {
  const auto operand = [&](size_t i, const char* batch) {
    const int64_t rank = n.rank(i);
    if (n.i(batch, 0) == 0 || rank < 3) return n.in(i);
    std::vector<int64_t> perm;  // [M, batch…, K] → [batch…, M, K]
    for (int64_t d = 1; d < rank - 1; ++d) perm.push_back(d);
    perm.insert(perm.end(), {0, rank - 1});
    return n.b.transpose(n.in(i), perm);
  };
  const ValueId a = operand(0, "transBatchA"), b = operand(1, "transBatchB");
  ValueId y = kNoId;
  if (n.rank(0) >= 2 && n.rank(1) >= 2) {
    y = n.b.make<ops::MatMul>({a, b}, [&](ops::MatMul& m) {
      m.trans_a = n.i("transA", 0) != 0;
      m.trans_b = n.i("transB", 0) != 0;
    });
  } else {  // a vector has nothing to exchange
    Node inner = n.with_inputs({a, b});
    LATHE_TRY(const Values product, matmul(inner));
    y = product[0];
  }
  const double alpha = n.f("alpha", 1);
  return n.done(alpha == 1 ? y : n.b.op("Mul", {y, n.b.scalar(n.dtype(0), alpha)}));
}

// BiasGelu, FastGelu: Gelu of X plus an optional bias; the row names the approximation.
Result<Values> bias_gelu(Node& n) {
  const ValueId x = n.has(1) ? n.b.op("Add", {n.in(0), n.in(1)}) : n.in(0);
  return n.done(gelu(n, x, n.canonical() == "tanh" ? "tanh" : "none"));
}

Result<Values> quick_gelu(Node& n) { return n.done(n.b.op("Swish", {n.in(0)}, {{"alpha", n.f("alpha", 1.702)}})); }

// softmax(data + bias) over the dimensions from `axis` on, taken as one.
Result<Values> bias_softmax(Node& n) {
  const ValueId x = n.b.op("Add", {n.in(0), n.in(1)});
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 1), static_cast<int64_t>(s.size())));
  const Shape matrix = {product({s.begin(), s.begin() + axis}), product({s.begin() + axis, s.end()})};
  const bool last = axis + 1 == static_cast<int64_t>(s.size());
  const ValueId y =
      n.b.make<ops::Softmax>({last ? x : n.b.reshape(x, matrix)}, [&](ops::Softmax& o) { o.axis = last ? axis : 1; });
  return n.done(last || !n.b.ok() ? y : n.b.reshape(y, s));
}

// input, skip, gamma, beta?, bias? (without beta where the row says "rms"): layer_norm(input + skip + bias); output 3
// is the sum.
Result<Values> skip_layer_norm(Node& n) {
  const bool rms = n.canonical() == "rms";
  const size_t bias = rms ? 3 : 4;
  if (n.wants(1) || n.wants(2)) return unsupported("the outputs of training are not supported");
  ValueId x = n.b.op("Add", {n.in(0), n.in(1)});
  if (n.has(bias)) x = n.b.op("Add", {x, n.in(bias)});
  const ValueId y = layer_normalized(n, x, n.in(2), rms ? kNoId : n.in(3), std::max<int64_t>(n.rank(0) - 1, 0), rms);
  return n.done({y, kNoId, kNoId, x});
}

// X, scale: RMS normalisation from `axis` on; output 1 is the inverse of the root mean square.
Result<Values> simplified_layer_norm(Node& n) {
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0)));
  const ValueId y = layer_normalized(n, n.in(0), n.in(1), kNoId, axis, true);
  return n.done({y, n.wants(1) ? inverse_root_mean_square(n, n.in(0), axis) : kNoId});
}

// input_ids, segment_ids?, word, position, segment tables, gamma, beta, mask?, position_ids? → the normalised sum of
// the three embeddings, the number of ones in each row of the mask, the sum.
Result<Values> embed_layer_norm(Node& n) {
  const Shape ids = n.shape(0);
  if (ids.size() != 2) return damaged("input_ids must be of rank 2, not " + shape_str(ids));
  if (n.has(1) != n.has(4)) return damaged("segment_ids and segment_embedding go together");
  const auto rows = [&](ValueId table, ValueId at) { return n.b.make<ops::Gather>({table, at}, [](ops::Gather&) {}); };
  const ValueId positions = n.has(8) ? n.in(8) : n.b.iota(ids[1], {n.in(0)});
  ValueId sum = n.b.op("Add", {rows(n.in(2), n.in(0)), rows(n.in(3), positions)});
  if (n.has(1)) sum = n.b.op("Add", {sum, rows(n.in(4), n.in(1))});
  const ValueId y = layer_normalized(n, sum, n.in(5), n.in(6), 2, false);
  ValueId counts = kNoId;
  if (n.wants(1)) {
    const ValueId mask = n.has(7) ? n.in(7) : n.b.op("Sub", {n.in(0), n.in(0)});
    const ValueId ones = n.b.op("Equal", {mask, n.b.scalar(n.b.dtype(mask), 1)});
    counts = n.b.reduce("sum", n.b.cast(ones, DType::kI32), {1}, false);
  }
  return n.done({y, counts, sum});
}

// X [N, H, W, C] (or channels second), gamma, beta [C]; activation 1 is SiLU.
Result<Values> contrib_group_norm(Node& n) {
  const bool last = n.i("channels_last", 1) != 0;
  const int64_t rank = n.rank(0), groups = n.i("groups", 0);
  if (rank < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  const Shape s = n.shape(0);
  const Dim& channels = s[last ? static_cast<size_t>(rank - 1) : 1];
  if (groups < 1 || !channels.is_const() || channels.value() % groups != 0)
    return damaged("groups does not divide the channels of " + shape_str(s));
  const Dim size = channels.value() / groups;
  const Dim pixels = product(last ? Shape{s.begin() + 1, s.end() - 1} : Shape{s.begin() + 2, s.end()});
  const Shape grouped = last ? Shape{s[0], pixels, groups, size} : Shape{s[0], groups, size, pixels};
  const Shape each = last ? Shape{groups, size} : Shape{groups, size, 1};
  const std::vector<int64_t> axes = last ? std::vector<int64_t>{1, 3} : std::vector<int64_t>{2, 3};
  const DType t = n.dtype(0);
  const ValueId x = n.b.reshape(n.in(0), grouped);
  const ValueId centred = n.b.op("Sub", {x, n.b.reduce("mean", x, axes, true)});
  const ValueId variance = n.b.reduce("mean", n.b.op("Mul", {centred, centred}), axes, true);
  const ValueId deviation = n.b.op("Sqrt", {n.b.op("Add", {variance, n.b.scalar(t, n.f("epsilon", 1e-5))})});
  ValueId y = n.b.op("Div", {centred, deviation});
  y = n.b.op("Mul", {y, n.b.reshape(n.b.cast(n.in(1), t), each)});
  y = n.b.op("Add", {y, n.b.reshape(n.b.cast(n.in(2), t), each)});
  y = n.b.ok() ? n.b.reshape(y, s) : kNoId;
  const int64_t activation = n.i("activation", 0);
  if (activation != 0 && activation != 1)
    return unsupported("activation " + std::to_string(activation) + " is not known");
  return n.done(activation == 1 ? n.b.op("Swish", {y}) : y);
}

// X, W, Pads?, B?
Result<Values> conv_transpose_dynamic_pads(Node& n) {
  std::optional<std::vector<int64_t>> pads;
  if (n.has(2)) {
    LATHE_TRY(pads, n.integers(2, "Pads"));
  }
  Node inner = n.with_inputs({n.in(0), n.in(1), n.in(3)});
  return conv_transpose_padded(inner, pads);
}

// A pool whose input and output have their channels last.
Result<Values> nhwc_pool(Node& n) {
  const int64_t rank = n.rank(0);
  if (rank < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  Node inner = n.with_inputs({n.b.transpose(n.in(0), first_perm(rank))});
  LATHE_TRY(const Values y, pool(inner));
  return n.done(n.b.transpose(y[0], last_perm(rank)));
}

// start, limit, delta (1): scalars or vectors of one element
Result<Values> contrib_range(Node& n) {
  const ValueId delta = n.has(2) ? n.in(2) : n.b.scalar(n.dtype(0), 1);
  const auto scalar = [&](ValueId v) { return n.b.rank(v) == 1 ? n.b.reshape(v, {}) : v; };
  return n.done(n.b.op("Range", {scalar(n.in(0)), scalar(n.in(1)), scalar(delta)}));
}

// X, axis: a new dimension of size 1
Result<Values> expand_dims(Node& n) {
  LATHE_TRY(const auto at, n.integers(1, "axis"));
  if (at.size() != 1) return damaged("axis must be one number");
  LATHE_TRY(const int64_t axis, Node::axis(at[0], n.rank(0) + 1));
  Shape s = n.shape(0);
  s.insert(s.begin() + axis, Dim(1));
  return n.done(n.b.reshape(n.in(0), s));
}

// A [M, N], B [K, N] → the distance of each pair of rows.
Result<Values> pairwise_distance(Node& n) {
  const std::string metric = n.s("metric", "sqeuclidean");
  if (metric != "sqeuclidean" && metric != "euclidean")
    return unsupported("metric \"" + metric + "\" is not supported");
  const Shape a = n.shape(0), b = n.shape(1);
  if (a.size() != 2 || b.size() != 2) return damaged("operands must be matrices");
  const ValueId difference = n.b.op("Sub", {n.b.reshape(n.in(0), {a[0], 1, a[1]}), n.in(1)});
  return n.done(n.b.reduce(metric == "euclidean" ? "l2" : "sum_square", difference, {2}, false));
}

}  // namespace lathe::onnx
