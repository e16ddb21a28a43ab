// SPDX-License-Identifier: Apache-2.0
// Operators of autoregressive models: caches, convolutions and attention that carry a state, gated activations; and
// rearrangements by computed positions.
#include <cmath>

#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "ops/gather_nd.h"
#include "ops/linear_attention.h"
#include "ops/pad.h"
#include "ops/scatter_elements.h"
#include "ops/slice.h"

namespace lathe::onnx {

namespace {

ValueId range(Node& n, ValueId count) { return n.b.op("Range", {n.b.i64(0), count, n.b.i64(1)}); }
ValueId size_of(Node& n, ValueId x, int64_t axis) {
  return n.b.reshape(n.b.slice(shape_of(n, x), 0, axis, axis + 1), {});
}

}  // namespace

// past_cache, update, write_indices?: the update is written at a position of each sample. ONNX TensorScatter-24.
Result<Values> tensor_scatter(Node& n) {
  const int64_t rank = n.rank(0);
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -2), rank));
  if (axis == 0 || n.rank(1) != rank) return damaged("cache and update must be of one rank, and the axis not 0");
  const ValueId steps = range(n, size_of(n, n.in(1), axis));
  if (!n.b.ok()) return n.done(kNoId);
  Shape line(static_cast<size_t>(rank), Dim(1)), starts = line;
  line[static_cast<size_t>(axis)] = n.b.shape(steps)[0];
  starts[0] = n.shape(1)[0];
  ValueId at = n.b.reshape(steps, line);
  if (n.has(2)) at = n.b.op("Add", {at, n.b.reshape(n.b.cast(n.in(2), DType::kI64), starts)});
  if (n.s("mode", "linear") == "circular") at = n.b.op("Mod", {at, size_of(n, n.in(0), axis)});
  const ValueId everywhere = n.b.op("Expand", {at, shape_of(n, n.in(1))});
  return n.done(
      n.b.make<ops::ScatterElements>({n.in(0), everywhere, n.in(1)}, [&](ops::ScatterElements& s) { s.axis = axis; }));
}

// input [B, C, L], weight [C, 1, k], bias?, past_state? [B, C, k - 1] → output, the last k - 1 values. ONNX
// CausalConvWithState-27.
Result<Values> causal_conv(Node& n) {
  const Shape x = n.shape(0), w = n.shape(1);
  if (x.size() != 3 || w.size() != 3 || !w[2].is_const() || !w[0].is_const() || w[2].value() < 1)
    return damaged("input and weight must be of rank 3");
  const int64_t keep = w[2].value() - 1;
  ValueId padded = n.in(0);
  if (n.has(3))
    padded = n.b.concat({n.in(3), padded}, 2);
  else if (keep > 0)
    padded = n.b.op("Pad", {padded, n.b.i64s({0, 0, keep, 0, 0, 0})});
  if (!n.b.ok()) return n.done(kNoId);
  Values inputs = {padded, n.in(1)};
  if (n.has(2)) inputs.push_back(n.in(2));
  LATHE_TRY(ValueId y, depthwise(n.with_inputs(std::move(inputs)), w[0].value()));
  const std::string activation = n.s("activation", "none");
  if (activation == "silu" || activation == "swish")
    y = n.b.op("Mul", {y, n.b.op("Sigmoid", {y})});
  else if (activation != "none")
    return damaged("activation \"" + activation + "\" is not none, silu or swish");
  const ValueId state = keep == 0 ? n.b.slice(padded, 2, 0, 0)
                                  : n.b.add(std::make_shared<ops::Slice>(),
                                            {padded, n.b.i64s({-keep}), n.b.i64s({INT64_MAX}), n.b.i64s({2})});
  return n.done({y, state});
}

// query, key, value, past_state?, decay?, beta?
Result<Values> linear_attention(Node& n) {
  const std::string rule = n.s("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  if (!gated && !delta && rule != "linear") return damaged("update_rule \"" + rule + "\" is not known");
  if (gated != n.has(4) || delta != n.has(5)) return damaged("update_rule \"" + rule + "\" and the inputs do not fit");
  const int64_t heads = n.i("q_num_heads", 0), kv_heads = n.i("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1) return damaged("q_num_heads and kv_num_heads must be positive");
  const auto width = n.rank(0) == 3 ? n.shape(0)[2].as_const() : std::nullopt;
  if (!width) return unsupported("the size of a head is not constant");
  if (*width % heads != 0)
    return damaged(std::to_string(heads) + " heads do not divide queries of " + std::to_string(*width) + " values");
  const int64_t head_size = *width / heads;
  double scale = n.f("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(head_size));
  const DType type = n.dtype(0);
  Values inputs = {
      n.in(0), n.in(1), n.in(2), n.has(3) ? n.b.cast(n.in(3), type) : kNoId, gated ? n.b.op("Exp", {n.in(4)}) : kNoId,
      n.in(5)};
  while (inputs.back() == kNoId) inputs.pop_back();
  Values y = [&] {
    auto op = std::make_shared<ops::LinearAttention>();
    op->q_heads = heads;
    op->kv_heads = kv_heads;
    op->scale = scale;
    return n.b.add_all(std::move(op), std::move(inputs));
  }();
  if (n.b.ok() && n.has(3)) y[1] = n.b.cast(y[1], n.dtype(3));
  return n.done(std::move(y));
}

// Swish(a) * b
Result<Values> swiglu(Node& n) {
  if (n.b.ok() && n.rank(0) != n.rank(1)) return damaged("A and B must have one shape");
  const ValueId gate = n.b.op("Sigmoid", {n.b.op("Mul", {n.in(0), n.b.scalar(n.dtype(0), n.f("alpha", 1))})});
  return n.done(n.b.op("Mul", {n.b.op("Mul", {n.in(0), gate}), n.in(1)}));
}

// The first sequence_lens[b] steps of each sample backwards. ONNX ReverseSequence-10.
Result<Values> reverse_sequence(Node& n) {
  const int64_t batch_axis = n.i("batch_axis", 1), time_axis = n.i("time_axis", 0), rank = n.rank(0);
  if (rank < 2 || batch_axis + time_axis != 1 || batch_axis * time_axis != 0)
    return damaged("batch_axis and time_axis must be 0 and 1");
  std::vector<int64_t> swap;
  for (int64_t d = 0; d < rank; ++d) swap.push_back(d < 2 && batch_axis == 1 ? 1 - d : d);
  const ValueId x = n.b.transpose(n.in(0), swap);
  const ValueId t = range(n, size_of(n, x, 1));
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(x);
  const ValueId lengths = n.b.reshape(n.b.cast(n.in(1), DType::kI64), {s[0], 1});
  const ValueId mirrored = n.b.op("Sub", {n.b.op("Sub", {lengths, n.b.i64(1)}), t});
  const ValueId at = n.b.op("Where", {n.b.op("Less", {t, lengths}), mirrored, t});
  if (!n.b.ok()) return n.done(kNoId);
  const Shape places = n.b.shape(at);
  const ValueId y = n.b.make<ops::GatherND>({x, n.b.reshape(at, {places[0], places[1], 1})},
                                            [](ops::GatherND& g) { g.batch_dims = 1; });
  return n.done(n.b.transpose(y, swap));
}

// x, shape: centred parts, or centred in zeros. ONNX CenterCropPad-18.
Result<Values> center_crop_pad(Node& n) {
  const int64_t rank = n.rank(0);
  std::vector<int64_t> axes;
  if (const auto given = n.ints("axes"); given && !given->empty()) {
    for (const int64_t a : *given) {
      LATHE_TRY(axes.emplace_back(), Node::axis(a, rank));
    }
  } else {
    for (int64_t d = 0; d < rank; ++d) axes.push_back(d);
  }
  const ValueId which = n.b.i64s(axes), wanted = n.b.cast(n.in(1), DType::kI64);
  const ValueId have = n.b.op("Gather", {shape_of(n, n.in(0)), which});
  const auto half = [&](ValueId v) { return n.b.op("Div", {n.b.op("Max", {v, n.b.i64(0)}), n.b.i64(2)}); };
  const ValueId start = half(n.b.op("Sub", {have, wanted})), kept = n.b.op("Min", {have, wanted});
  const ValueId cut = n.b.add(std::make_shared<ops::Slice>(), {n.in(0), start, n.b.op("Add", {start, kept}), which});
  const ValueId missing = n.b.op("Sub", {wanted, kept}), before = half(missing);
  const ValueId sides = n.b.concat({before, n.b.op("Sub", {missing, before})}, 0);
  std::vector<int64_t> both = axes;
  for (const int64_t a : axes) both.push_back(a + rank);
  return n.done(n.b.op("Pad", {cut, spread(n, n.b.i64s(both), sides, repeated(n, 0, 2 * rank))}));
}

// x, indices into the flat result, output_shape? ONNX MaxUnpool-22.
Result<Values> max_unpool(Node& n) {
  const auto x = static_dims(n.shape(0));
  const auto kernel = n.ints("kernel_shape");
  if (!x) return unsupported("the shape " + shape_str(n.shape(0)) + " must be known; give it with --shape");
  if (!kernel || x->size() < 3 || kernel->size() + 2 != x->size())
    return damaged("kernel_shape does not fit the input");
  const size_t dims = kernel->size();
  const auto strides = n.ints("strides").value_or(std::vector<int64_t>(dims, 1)),
             pads = n.ints("pads").value_or(std::vector<int64_t>(2 * dims, 0));
  if (strides.size() != dims || pads.size() != 2 * dims) return damaged("strides or pads do not fit");
  std::vector<int64_t> whole = {(*x)[0], (*x)[1]};
  for (size_t d = 0; d < dims; ++d) {
    const int64_t most = int64_t{1} << 31;
    if (strides[d] < 1 || strides[d] > most || (*kernel)[d] < 1 || (*kernel)[d] > most || pads[d] < 0 ||
        pads[dims + d] < 0 || pads[d] > most || pads[dims + d] > most)
      return damaged("kernel_shape, strides or pads are out of range");
    whole.push_back(((*x)[d + 2] - 1) * strides[d] - pads[d] - pads[dims + d] + (*kernel)[d]);
    if (whole.back() < 0) return damaged("the pads remove more than the output");
  }
  const Dim count = product(to_shape(*x)), total = product(to_shape(whole));
  const ValueId zeros = n.b.expand(n.b.scalar(n.dtype(0), 0), {total});
  const ValueId flat = n.b.make<ops::ScatterElements>(
      {zeros, n.b.reshape(n.in(1), {count}), n.b.reshape(n.in(0), {count})}, [](ops::ScatterElements&) {});
  const ValueId y = n.b.reshape(flat, to_shape(whole));
  if (!n.has(2)) return n.done(y);
  const auto rank = static_cast<int64_t>(whole.size());
  const ValueId missing = n.b.op("Sub", {n.b.cast(n.in(2), DType::kI64), n.b.i64s(whole)});
  return n.done(n.b.op("Pad", {y, n.b.concat({repeated(n, 0, rank), missing}, 0)}));
}

}  // namespace lathe::onnx
