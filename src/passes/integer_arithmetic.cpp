// SPDX-License-Identifier: Apache-2.0
// Operators between Dequantize and Quantize become integer ones (docs/adr/0004):
//
//     Dequantize(x) ─┐
//     Dequantize(w) ─┴ Conv(bias) → …     becomes     Conv(x, w, bias in units of the product) → Cast → Mul(scales) → …
//
// MatMul likewise. For that, Dequantize first sinks through what only moves data, constants included. Scales that meet
// a following Quantize are divided by its scale at once, as ONNX Runtime's QLinear operators do.
#include <algorithm>
#include <cmath>

#include "ops/_integer.h"
#include "ops/cast.h"
#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/dequantize.h"
#include "ops/expand.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/quantize.h"
#include "ops/reshape.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "ops/transpose.h"
#include "passes/passes.h"
#include "rewrite/edit.h"

namespace lathe::passes {

namespace {

using rewrite::made_by;
using rewrite::source;

/// What a Dequantize says of its operand.
struct Quantized {
  ValueId x = kNoId, scale = kNoId, zero = kNoId;
};

class Integers {
 public:
  explicit Integers(Graph& graph) : g_(graph) {}

  Result<int> run() {
    int changes = 0;
    for (bool again = true; again;) {
      again = false;
      for (const NodeId n : g_.order()) {
        if (!g_.node(n).alive() || !g_.node(n).epilogue.empty() || g_.node(n).outputs.size() != 1) continue;
        LATHE_TRY(const bool changed, visit(n));
        again = again || changed;
        changes += changed;
      }
    }
    return changes;
  }

 private:
  Result<bool> visit(NodeId n) {
    const Node& node = g_.node(n);
    if (node.as<ops::Transpose>()) return sink_transpose(n);
    if (moves_only(node)) return sink_movement(n);
    if (node.as<ops::Concat>()) return sink_concat(n);
    if (node.as<ops::Quantize>()) return simplify_quantize(n);
    if (node.as<ops::Conv>()) return convert_conv(n);
    if (node.as<ops::MatMul>()) return convert_matmul(n);
    return false;
  }

  [[nodiscard]] std::optional<Quantized> dequantized(ValueId v) const {
    if (!made_by<ops::Dequantize>(g_, v) || g_.value(v).dtype != DType::kF32) return std::nullopt;
    const auto& in = g_.node(g_.value(v).producer).inputs;
    return Quantized{in[0], in[1], in.size() > 2 ? in[2] : kNoId};
  }
  [[nodiscard]] bool single(ValueId v) const { return v == kNoId || product(g_.value(v).shape).equals(1); }
  [[nodiscard]] bool scalar_parameters(const Quantized& q) const { return single(q.scale) && single(q.zero); }

  Result<ValueId> dequantize(const Quantized& q, const std::string& name) {
    std::vector<ValueId> in = {q.x, q.scale};
    if (q.zero != kNoId) in.push_back(q.zero);
    return g_.add(std::make_shared<ops::Dequantize>(), std::move(in), name);
  }

  /// A parameter that broadcasts against x, seen through a permutation of x.
  Result<ValueId> permuted(ValueId parameter, size_t rank, const rewrite::Perm& perm) {
    if (parameter == kNoId || single(parameter)) return parameter;
    std::vector<int64_t> dims = g_.value(parameter).constant->dims();
    dims.insert(dims.begin(), rank - dims.size(), 1);
    const ValueId full = g_.add_constant({}, g_.value(parameter).constant->reshaped(dims));
    return rewrite::transpose(g_, full, perm, {});
  }

  Result<bool> sink_transpose(NodeId n) {
    auto q = dequantized(g_.node(n).inputs[0]);
    if (!q) return false;
    for (const ValueId p : {q->scale, q->zero})
      if (!single(p) && !g_.value(p).constant) return false;
    const auto perm = g_.node(n).as<ops::Transpose>()->perm;
    const std::string name = g_.node(n).name;
    LATHE_TRY(q->scale, permuted(q->scale, perm.size(), perm));
    LATHE_TRY(q->zero, permuted(q->zero, perm.size(), perm));
    LATHE_TRY(q->x, rewrite::transpose(g_, q->x, perm, name));
    LATHE_TRY(const ValueId y, dequantize(*q, name));
    rewrite::replace_node(g_, n, y);
    return true;
  }

  [[nodiscard]] static bool moves_only(const Node& n) {
    const auto* resize = n.as<ops::Resize>();
    const auto* pool = n.as<ops::Pool>();
    return n.as<ops::Reshape>() || n.as<ops::Slice>() || n.as<ops::Expand>() || n.as<ops::Gather>() ||
           (resize && resize->mode == "nearest" && resize->coordinate != "tf_crop_and_resize") ||
           (pool && pool->kind == "max");
  }

  // A maximum keeps its place because scales are positive.
  Result<bool> sink_movement(NodeId n) {
    auto q = dequantized(g_.node(n).inputs[0]);
    if (!q || !scalar_parameters(*q)) return false;
    if (g_.node(n).as<ops::Pool>() && !(g_.value(q->scale).constant && g_.value(q->scale).constant->f64_at(0) > 0))
      return false;
    auto in = g_.node(n).inputs;
    const std::string name = g_.node(n).name;
    in[0] = q->x;
    LATHE_TRY(q->x, g_.add(g_.node(n).op, std::move(in), name));
    LATHE_TRY(const ValueId y, dequantize(*q, name));
    rewrite::replace_node(g_, n, y);
    return true;
  }

  [[nodiscard]] bool same(ValueId a, ValueId b) const {
    if (a == b) return true;
    if (a == kNoId || b == kNoId) {  // an absent zero point is 0
      const auto& c = g_.value(a == kNoId ? b : a).constant;
      return c && c->count() == 1 && c->i64_at(0) == 0;
    }
    const auto &x = g_.value(a).constant, &y = g_.value(b).constant;
    return x && y && x->dtype() == y->dtype() && std::ranges::equal(x->bytes(), y->bytes());
  }

  Result<bool> sink_concat(NodeId n) {
    auto in = g_.node(n).inputs;
    const auto first = dequantized(in[0]);
    if (!first || !scalar_parameters(*first)) return false;
    for (ValueId& v : in) {
      const auto q = dequantized(v);
      if (!q || !scalar_parameters(*q) || !same(q->scale, first->scale) || !same(q->zero, first->zero) ||
          g_.value(q->x).dtype != g_.value(first->x).dtype)
        return false;
      v = q->x;
    }
    const std::string name = g_.node(n).name;
    Quantized q = *first;
    LATHE_TRY(q.x, g_.add(g_.node(n).op, std::move(in), name));
    LATHE_TRY(const ValueId y, dequantize(q, name));
    rewrite::replace_node(g_, n, y);
    return true;
  }

  Result<bool> simplify_quantize(NodeId n) {
    const Node& node = g_.node(n);
    const ValueId scale = node.inputs[1], zero = node.inputs.size() > 2 ? node.inputs[2] : kNoId;
    // Back to what it was made from.
    if (const auto q = dequantized(node.inputs[0]); q && single(scale) && single(zero) && same(q->scale, scale) &&
                                                    same(q->zero, zero) && dtype_bits(g_.value(q->x).dtype) == 8 &&
                                                    g_.value(q->x).dtype == g_.value(node.outputs[0]).dtype &&
                                                    g_.value(q->x).shape == g_.value(node.outputs[0]).shape) {
      rewrite::replace_node(g_, n, q->x);
      return true;
    }
    return divide_scales(n, scale);
  }

  // Quantize(s) after Mul(Cast(sums), m), perhaps transposed: one factor m / s.
  Result<bool> divide_scales(NodeId n, ValueId scale) {
    if (!g_.value(scale).constant || g_.value(scale).constant->count() != 1) return false;
    ValueId v = g_.node(n).inputs[0];
    NodeId user = n;
    const ops::Transpose* moved = nullptr;
    if ((moved = made_by<ops::Transpose>(g_, v))) {
      if (rewrite::sole_user(g_, v) != user) return false;
      user = g_.value(v).producer;
      v = source(g_, v);
    }
    const NodeId product = g_.value(v).producer;
    if (product == kNoId || g_.node(product).op->name() != "Mul" || rewrite::sole_user(g_, v) != user) return false;
    const ValueId sums = g_.node(product).inputs[0], m = g_.node(product).inputs[1];
    if (!made_by<ops::Cast>(g_, sums) || g_.value(source(g_, sums)).dtype != DType::kI32 || !g_.value(m).constant)
      return false;
    const float s = g_.value(scale).constant->to_f32()[0];
    std::vector<float> factors = g_.value(m).constant->to_f32();
    for (float& f : factors) f /= s;
    if (s == 1 || !std::ranges::all_of(factors, [](float f) { return std::isfinite(f); })) return false;
    const ValueId ratio = g_.add_constant({}, Tensor::of<float>(DType::kF32, g_.value(m).constant->dims(), factors));
    LATHE_TRY(ValueId y, g_.add(rewrite::make_op("Mul"), {sums, ratio}, g_.node(product).name));
    if (moved) {
      LATHE_TRY(y, rewrite::transpose(g_, y, moved->perm, g_.node(n).name));
    }
    auto in = g_.node(n).inputs;
    in[0] = y;
    in[1] = g_.add_constant({}, Tensor::scalar_f32(1));
    g_.set_inputs(n, std::move(in));
    return true;
  }

  /// Numbers for each output channel (or one for all): a constant that broadcasts along dimension `axis` of `rank`.
  [[nodiscard]] std::optional<Tensor> by_channel(ValueId v, size_t rank, size_t axis) const {
    const auto& c = g_.value(v).constant;
    if (!c) return std::nullopt;
    if (c->count() == 1) return c->reshaped({});
    std::vector<int64_t> dims = c->dims();
    if (dims.size() > rank) return std::nullopt;
    dims.insert(dims.begin(), rank - dims.size(), 1);
    for (size_t d = 0; d < rank; ++d)
      if (d != axis && dims[d] != 1) return std::nullopt;
    return c->reshaped({dims[axis]});
  }

  /// The zero point as a number; none if it differs between channels or is not known.
  [[nodiscard]] std::optional<int64_t> zero_of(ValueId zero) const {
    if (zero == kNoId) return 0;
    const auto& c = g_.value(zero).constant;
    if (!c || c->count() == 0) return std::nullopt;
    for (int64_t i = 1; i < c->count(); ++i)
      if (c->i64_at(i) != c->i64_at(0)) return std::nullopt;
    return c->i64_at(0);
  }

  [[nodiscard]] bool is_byte(ValueId v) const {
    return ops::is_small_integer(g_.value(v).dtype) && dtype_bits(g_.value(v).dtype) == 8;
  }

  /// Scale of the sums, in f32 as products of the operands' scales.
  [[nodiscard]] std::optional<Tensor> product_scale(const Quantized& x, const Tensor& w) const {
    const auto& s = g_.value(x.scale).constant;
    if (!s || s->count() != 1) return std::nullopt;
    std::vector<float> m = w.to_f32();
    for (float& f : m) f *= s->to_f32()[0];
    return Tensor::of<float>(DType::kF32, w.dims(), m);
  }

  Result<ValueId> scaled(ValueId sums, const Tensor& m, const std::string& name) {
    auto to_float = std::make_shared<ops::Cast>();
    to_float->to = DType::kF32;
    LATHE_TRY(const ValueId f, g_.add(to_float, {sums}, name));
    return g_.add(rewrite::make_op("Mul"), {f, g_.add_constant({}, m)}, name);
  }

  /// A float bias that is a multiple of the sums' scale, in that unit.
  [[nodiscard]] std::optional<Tensor> integer_bias(const Tensor& bias, const Tensor& m, int64_t channels) const {
    if (bias.count() != channels) return std::nullopt;
    Tensor r = Tensor::zeros(DType::kI32, {channels});
    for (int64_t i = 0; i < channels; ++i) {
      const double unit = m.f64_at(m.count() == 1 ? 0 : i), b = bias.f64_at(i), q = std::nearbyint(b / unit);
      if (!(std::abs(q) < 2147483648.0) || !(std::abs(q * unit - b) <= 1e-6 * std::abs(b))) return std::nullopt;
      r.set_i64(i, static_cast<int64_t>(q));
    }
    return r;
  }

  Result<bool> convert_conv(NodeId n) {
    const auto inputs = g_.node(n).inputs;
    const auto x = dequantized(inputs[0]), w = dequantized(inputs[1]);
    if (!x || !w || !is_byte(x->x) || !is_byte(w->x)) return false;
    const auto channels = g_.value(inputs[1]).shape[0].as_const();
    const auto x_zero = zero_of(x->zero), w_zero = zero_of(w->zero);
    const auto w_scale = by_channel(w->scale, g_.value(inputs[1]).shape.size(), 0);
    if (!channels || !w_zero || !w_scale || !single(x->zero)) return false;
    // A zero point that is known when the model runs can be taken off afterwards where no padding stands for it.
    const auto& weights = g_.value(w->x).constant;
    if (!x_zero &&
        (!weights || !std::ranges::all_of(g_.node(n).as<ops::Conv>()->pads, [](int64_t p) { return p <= 0; })))
      return false;
    const auto m = product_scale(*x, *w_scale);
    if (!m) return false;
    std::optional<Tensor> bias;  // in units of the product
    ValueId float_bias = kNoId;
    if (inputs.size() > 2 && inputs[2] != kNoId) {
      float_bias = inputs[2];
      if (const auto q = dequantized(float_bias); q && g_.value(q->x).constant && g_.value(q->scale).constant &&
                                                  (q->zero == kNoId || g_.value(q->zero).constant)) {
        std::vector<ValueId> parts = {q->x, q->scale};
        if (q->zero != kNoId) parts.push_back(q->zero);
        LATHE_TRY(float_bias, rewrite::fold(g_, ops::Dequantize::kName, parts));
      }
      if (const auto& c = g_.value(float_bias).constant) bias = integer_bias(*c, *m, *channels);
    }
    auto op = std::make_shared<ops::Conv>(*g_.node(n).as<ops::Conv>());
    op->x_zero = x_zero.value_or(0);
    op->w_zero = *w_zero;
    const std::string name = g_.node(n).name;
    std::vector<ValueId> in = {x->x, w->x};
    if (bias) in.push_back(g_.add_constant({}, *bias));
    LATHE_TRY(ValueId sums, g_.add(op, std::move(in), name));
    if (!x_zero) {
      const Tensor rows = ops::centred(*weights, *w_zero);
      LATHE_TRY(sums,
                less_zero(sums, rows, *channels, rows.count() / std::max<int64_t>(1, *channels), 1, x->zero, name));
    }
    LATHE_TRY(ValueId y, scaled(sums, *m, name));
    if (float_bias != kNoId && !bias) {
      LATHE_TRY(y, g_.add(rewrite::make_op("Add"), {y, float_bias}, name));
    }
    rewrite::replace_node(g_, n, y);
    return true;
  }

  Result<bool> convert_matmul(NodeId n) {
    const auto inputs = g_.node(n).inputs;
    const auto a = dequantized(inputs[0]), b = dequantized(inputs[1]);
    if (!a || !b || !is_byte(a->x) || !is_byte(b->x) || !single(a->zero)) return false;
    auto op = std::make_shared<ops::MatMul>(*g_.node(n).as<ops::MatMul>());
    const size_t rank = g_.value(inputs[1]).shape.size();
    const auto b_zero = zero_of(b->zero);
    const auto b_scale = by_channel(b->scale, rank, op->trans_b ? rank - 2 : rank - 1);
    if (!b_zero || !b_scale) return false;
    op->b_zero = *b_zero;
    const std::string name = g_.node(n).name;
    const auto a_zero = zero_of(a->zero);
    const auto& weights = g_.value(b->x).constant;
    if (a_zero)
      op->a_zero = *a_zero;
    else if (!weights || rank != 2)
      return false;
    const auto m = product_scale(*a, *b_scale);
    if (!m && !single(a->scale)) return false;
    LATHE_TRY(ValueId sums, g_.add(op, {a->x, b->x}, name));
    if (!a_zero) {
      const Tensor w = ops::centred(*weights, op->b_zero);
      const int64_t columns = w.dims()[op->trans_b ? 0 : 1], length = w.dims()[op->trans_b ? 1 : 0];
      LATHE_TRY(sums, less_zero(sums, w, columns, length, op->trans_b ? 1 : columns, a->zero, name));
    }
    ValueId y = kNoId;
    if (m) {
      LATHE_TRY(y, scaled(sums, *m, name));
    } else {  // the scale of a is known when the model runs
      LATHE_TRY(y, scaled(sums, *b_scale, name));
      LATHE_TRY(y, g_.add(rewrite::make_op("Mul"), {y, a->scale}, name));
    }
    rewrite::replace_node(g_, n, y);
    return true;
  }

  /// sums - zero * (sum of the `length` weights of each of `columns`, which lie `stride` apart and begin after one
  /// another), where the zero point is a value of the graph.
  Result<ValueId> less_zero(ValueId sums, const Tensor& weights, int64_t columns, int64_t length, int64_t stride,
                            ValueId zero, const std::string& name) {
    Tensor by_column = Tensor::zeros(DType::kI32, {columns});
    for (int64_t j = 0; j < columns; ++j) {
      int64_t sum = 0;
      for (int64_t i = 0; i < length; ++i) sum += weights.i64_at(stride == 1 ? j * length + i : i * stride + j);
      by_column.set_i64(j, sum);
    }
    auto to_int = std::make_shared<ops::Cast>();
    to_int->to = DType::kI32;
    LATHE_TRY(const ValueId z, g_.add(to_int, {zero}, name));
    LATHE_TRY(const ValueId off, g_.add(rewrite::make_op("Mul"), {g_.add_constant({}, by_column), z}, name));
    return g_.add(rewrite::make_op("Sub"), {sums, off}, name);
  }

  Graph& g_;
};

}  // namespace

Result<int> integer_arithmetic(Graph& g, const PassOptions&) { return Integers(g).run(); }

}  // namespace lathe::passes
