// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "import/onnx/compose.h"
#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "import/onnx/importer.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "ops/pad.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

// [B, L, heads * D] → [B, heads, L, D]; an input of rank 4 has that form already.
Result<ValueId> heads_first(Node& n, ValueId x, int64_t heads) {
  const Shape s = n.b.shape(x);
  if (s.size() == 4) return x;
  if (s.size() != 3) return damaged("Q, K and V must be of rank 3 or 4");
  if (heads < 1 || (s[2].is_const() && s[2].value() % heads != 0))
    return damaged("q_num_heads or kv_num_heads does not divide " + shape_str(s));
  return n.b.transpose(n.b.reshape(x, {s[0], s[1], heads, floor_div(s[2], heads)}), {0, 2, 1, 3});
}

// The mask to be added to the scores: truth values become 0 and -infinity, and keys beyond a short mask are left out.
Result<ValueId> additive_mask(Node& n, ValueId mask, DType dtype, const Dim& keys) {
  const ValueId lowest = n.b.scalar(dtype, -std::numeric_limits<double>::infinity());
  if (n.b.dtype(mask) == DType::kBool) mask = n.b.op("Where", {mask, n.b.scalar(dtype, 0), lowest});
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(mask);
  if (s.empty() || s.back() == keys || s.back().equals(1)) return mask;
  const auto missing = (keys - s.back()).as_const();
  if (!missing || *missing < 0) return unsupported("attn_mask " + shape_str(s) + " for " + keys.str() + " keys");
  std::vector<int64_t> pads(2 * s.size(), 0);
  pads.back() = *missing;
  return n.b.make<ops::Pad>({mask, n.b.i64s(pads), lowest}, [](ops::Pad&) {});
}

struct Window {
  int64_t left = -1, right = -1;  ///< keys seen before and after a query's own position; negative: all
};

// What a query at position i + past sees of the keys: a constant [queries, keys] to be added to the scores.
Result<ValueId> window_mask(Node& n, const Dim& queries, const Dim& keys, const Dim& past, Window window, DType dtype) {
  const auto lq = queries.as_const(), lk = keys.as_const(), before = past.as_const();
  if (!lq || !lk || !before || *lq * *lk > int64_t{1} << 28)
    return unsupported("is_causal and windows need known lengths, not " + queries.str() + " and " + keys.str());
  Tensor t = Tensor::zeros(dtype, {*lq, *lk});
  for (int64_t i = 0; i < *lq; ++i)
    for (int64_t j = 0; j < *lk; ++j) {
      const int64_t distance = j - i - *before;
      const bool seen = (window.right < 0 || distance <= window.right) && (window.left < 0 || -distance <= window.left);
      if (!seen) t.set(i * *lk + j, -std::numeric_limits<double>::infinity());
    }
  return n.b.constant(std::move(t));
}

// 0, 1, … size - 1 as i64, of a dimension of `x`.
ValueId positions(Node& n, ValueId x, int64_t axis) {
  const Dim size = n.b.shape(x)[static_cast<size_t>(axis)];
  const ValueId count =
      size.is_const() ? n.b.i64(size.value()) : n.b.reshape(n.b.slice(shape_of(n, x), 0, axis, axis + 1), {});
  return n.b.op("Range", {n.b.i64(0), count, n.b.i64(1)});
}

// What a query may see of the keys as numbers to be added to the scores: 0, or -infinity. kNoId: all of it.
// offset: the position of the first query, an i64 scalar or [batch, 1, 1, 1].
Result<ValueId> visibility(Node& n, ValueId q, ValueId k, ValueId offset, Window window, DType dtype) {
  ValueId seen = kNoId;
  const auto both = [&](ValueId a, ValueId b) { return a == kNoId ? b : n.b.op("And", {a, b}); };
  const Dim queries = n.b.shape(q)[2], keys = n.b.shape(k)[2];
  const ValueId i = n.b.reshape(positions(n, q, 2), {queries, 1}), j = n.b.reshape(positions(n, k, 2), {1, keys});
  if (window.left >= 0 || window.right >= 0) {
    const ValueId distance = n.b.op("Sub", {j, n.b.op("Add", {i, offset})});
    if (window.right >= 0) seen = both(seen, n.b.op("LessOrEqual", {distance, n.b.i64(window.right)}));
    if (window.left >= 0) seen = both(seen, n.b.op("GreaterOrEqual", {distance, n.b.i64(-window.left)}));
  }
  if (n.has(6)) {
    const ValueId used = n.b.reshape(n.b.cast(n.in(6), DType::kI64), {n.b.shape(q)[0], 1, 1, 1});
    seen = both(seen, n.b.op("Less", {j, used}));
  }
  if (seen == kNoId) return kNoId;
  return n.b.op("Where", {seen, n.b.scalar(dtype, 0), n.b.scalar(dtype, -std::numeric_limits<double>::infinity())});
}

// Attention step by step, for what the fused operator does not do: scores that are an output, capped scores, lengths
// that differ between the samples. k and v include the past.
Result<Values> stepwise_attention(Node& n, ValueId q, ValueId k, ValueId v) {
  const Shape sq = n.b.shape(q), sk = n.b.shape(k), sv = n.b.shape(v);
  const DType dtype = n.b.dtype(q);
  const auto heads = sq[1].as_const(), kv_heads = sk[1].as_const();
  if (!heads || !kv_heads || *kv_heads < 1 || *heads % *kv_heads != 0)
    return damaged("the heads of " + shape_str(sq) + " and " + shape_str(sk) + " do not fit");
  const double scale = n.attr("scale") ? n.f("scale", 1) : 1 / std::sqrt(static_cast<double>(sq[3].value()));
  const int64_t group = *heads / *kv_heads;
  // Query heads that share a key head are rows of one product.
  const Shape scores = {sq[0], *heads, sq[2], sk[2]};
  const auto grouped = [&](ValueId x, const Dim& last) {
    return group == 1 ? x : n.b.reshape(x, {sq[0], *kv_heads, group * sq[2], last});
  };
  const ValueId qk = n.b.make<ops::MatMul>({grouped(q, sq[3]), k}, [](ops::MatMul& m) { m.trans_b = true; });
  ValueId x = n.b.op("Mul", {group == 1 ? qk : n.b.reshape(qk, scores), n.b.scalar(dtype, scale)});
  const int64_t mode = n.i("qk_matmul_output_mode", 0);
  ValueId shown = x;
  if (const double cap = n.f("softcap", 0); cap > 0) {
    const ValueId c = n.b.scalar(dtype, cap);
    x = n.b.op("Mul", {n.b.op("Tanh", {n.b.op("Div", {x, c})}), c});
    if (mode == 1) shown = x;
  }
  ValueId bias = kNoId;
  const auto add_bias = [&](ValueId b) { bias = bias == kNoId ? b : n.b.op("Add", {bias, b}); };
  if (n.has(3)) {
    LATHE_TRY(const ValueId mask, additive_mask(n, n.in(3), dtype, sk[2]));
    add_bias(mask);
  }
  ValueId offset = n.b.i64(0);
  if (n.has(4)) {
    const Dim past = n.shape(4)[2];
    offset = past.is_const() ? n.b.i64(past.value()) : n.b.reshape(n.b.slice(shape_of(n, n.in(4)), 0, 2, 3), {});
  } else if (n.has(6)) {
    const ValueId length =
        sq[2].is_const() ? n.b.i64(sq[2].value()) : n.b.reshape(n.b.slice(shape_of(n, q), 0, 2, 3), {});
    offset = n.b.op("Sub", {n.b.reshape(n.b.cast(n.in(6), DType::kI64), {sq[0], 1, 1, 1}), length});
  }
  Window window{n.i("left_window_size", -1), n.i("right_window_size", -1)};
  if (n.i("is_causal", 0) != 0) window.right = 0;
  LATHE_TRY(const ValueId visible, visibility(n, q, k, offset, window, dtype));
  if (visible != kNoId) add_bias(visible);
  if (bias != kNoId) x = n.b.op("Add", {x, bias});
  if (mode == 2) shown = x;
  const int64_t precision = n.i("softmax_precision", 0);
  const bool precise = precision > 0 && dtype_valid(static_cast<uint64_t>(precision)) &&
                       dtype_bits(static_cast<DType>(precision)) > dtype_bits(dtype);
  if (precise) x = n.b.cast(x, static_cast<DType>(precision));
  ValueId p = n.b.make<ops::Softmax>({x}, [](ops::Softmax& s) { s.axis = 3; });
  if (precise) p = n.b.cast(p, dtype);
  if (bias != kNoId && n.b.ok()) {
    // A query that sees nothing has probabilities of 0, not NaN.
    const int64_t last = n.b.rank(bias) - 1;
    const ValueId most = last < 0 ? bias : n.b.reduce("max", bias, {last}, true);
    const ValueId none = n.b.op("Equal", {most, n.b.scalar(dtype, -std::numeric_limits<double>::infinity())});
    p = n.b.op("Where", {none, n.b.scalar(dtype, 0), p});
  }
  if (mode == 3) shown = p;
  const ValueId y = n.b.add(std::make_shared<ops::MatMul>(), {grouped(p, sk[2]), v});
  return n.done({group == 1 ? y : n.b.reshape(y, {sq[0], *heads, sq[2], sv[3]}), shown});
}

}  // namespace

// Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen → Y, present_key, present_value. ONNX Attention-24.
Result<Values> attention(Node& n) {
  const bool stepwise = n.has(6) || n.wants(3) || n.f("softcap", 0) != 0 || n.dtype(0) == DType::kF64;
  const bool flat = n.rank(0) == 3;
  LATHE_TRY(const ValueId q, heads_first(n, n.in(0), n.i("q_num_heads", 0)));
  LATHE_TRY(ValueId k, heads_first(n, n.in(1), n.i("kv_num_heads", 0)));
  LATHE_TRY(ValueId v, heads_first(n, n.in(2), n.i("kv_num_heads", 0)));
  const bool aligned = n.b.ok() && n.b.rank(k) == 4 && n.b.shape(q)[2] == n.b.shape(k)[2];
  Dim past = 0;
  if (n.has(4) && n.has(5)) {
    if (n.rank(4) != 4) return damaged("past_key must be of rank 4");
    past = n.shape(4)[2];
    k = n.b.concat({n.in(4), k}, 2);
    v = n.b.concat({n.in(5), v}, 2);
  }
  if (!n.b.ok()) return n.done(kNoId);
  const Shape sq = n.b.shape(q), sk = n.b.shape(k);
  const DType dtype = n.b.dtype(q);
  if (!sq[3].is_const() && !n.attr("scale")) return unsupported("the size of a head is not constant");
  const auto merged = [&](ValueId y) {
    if (!flat || !n.b.ok()) return y;
    const Shape s = n.b.shape(y);
    return n.b.reshape(n.b.transpose(y, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
  };
  if (stepwise) {
    if (!sq[3].is_const()) return unsupported("the size of a head is not constant");
    LATHE_TRY(const Values r, stepwise_attention(n, q, k, v));
    return n.done({merged(r[0]), k, v, r[1]});
  }
  ValueId mask = kNoId;
  if (n.has(3)) {
    LATHE_TRY(mask, additive_mask(n, n.in(3), dtype, sk[2]));
  }
  // The operator aligns the last query with the last key; ONNX counts from the first key after the past.
  const bool causal = n.i("is_causal", 0) != 0;
  Window window{n.i("left_window_size", -1), n.i("right_window_size", -1)};
  const bool windowed = window.left >= 0 || window.right >= 0;
  // Truth values may hide everything from a query: its result is 0 then, which needs to know all that hides keys.
  const bool guarded = mask != kNoId && n.dtype(3) == DType::kBool;
  const bool apart = windowed || (causal && (!aligned || guarded));
  if (apart) {
    if (causal) window.right = 0;
    LATHE_TRY(const ValueId visible, window_mask(n, sq[2], sk[2], past, window, dtype));
    mask = mask == kNoId ? visible : n.b.op("Add", {mask, visible});
  }
  Values inputs = {q, k, v};
  if (mask != kNoId) inputs.push_back(mask);
  ValueId y = n.b.make<ops::Attention>(std::move(inputs), [&](ops::Attention& a) {
    a.scale = n.attr("scale") ? n.f("scale", 1) : 1 / std::sqrt(static_cast<double>(sq[3].value()));
    a.causal = causal && !apart;
  });
  if (guarded && n.b.ok()) {
    const ValueId most = n.b.reduce("max", mask, {n.b.rank(mask) - 1}, true);
    const ValueId none = n.b.op("Equal", {most, n.b.scalar(dtype, -std::numeric_limits<double>::infinity())});
    y = n.b.op("Where", {none, n.b.scalar(dtype, 0), y});
  }
  return n.done({merged(y), k, v});
}

// The first `rotated` elements of each row of x [a, b, c, D] as pairs of coordinates, turned by the angles whose
// cosines and sines are given (broadcast to [a, b, c, rotated / 2]). Pairs are neighbours or one of each half.
ValueId rotated_pairs(Node& n, ValueId x, ValueId cosine, ValueId sine, int64_t rotated, bool interleaved) {
  if (!n.b.ok()) return kNoId;
  const Shape shape = n.b.shape(x);
  const int64_t size = shape[3].value();
  const ValueId part = rotated == size ? x : n.b.slice(x, 3, 0, rotated);
  const Shape halves = {shape[0], shape[1], shape[2], rotated / 2};
  ValueId a = kNoId, b = kNoId;
  if (interleaved) {
    const ValueId pairs = n.b.reshape(part, {shape[0], shape[1], shape[2], rotated / 2, 2});
    a = n.b.reshape(n.b.slice(pairs, 4, 0, 1), halves);
    b = n.b.reshape(n.b.slice(pairs, 4, 1, 2), halves);
  } else {
    a = n.b.slice(part, 3, 0, rotated / 2);
    b = n.b.slice(part, 3, rotated / 2, rotated);
  }
  const auto mul = [&](ValueId p, ValueId q) { return n.b.op("Mul", {p, q}); };
  ValueId real = n.b.op("Sub", {mul(cosine, a), mul(sine, b)}),
          imaginary = n.b.op("Add", {mul(sine, a), mul(cosine, b)});
  if (!n.b.ok()) return kNoId;
  ValueId y = kNoId;
  if (interleaved) {
    Shape column = halves;
    column.emplace_back(1);
    y = n.b.concat({n.b.reshape(real, column), n.b.reshape(imaginary, column)}, 4);
    y = n.b.ok() ? n.b.reshape(y, {shape[0], shape[1], shape[2], rotated}) : kNoId;
  } else {
    y = n.b.concat({real, imaginary}, 3);
  }
  if (rotated != size) y = n.b.concat({y, n.b.slice(x, 3, rotated, size)}, 3);
  return y;
}

// X [B, H, S, D] or [B, S, H * D], cos and sin caches [max, R/2] with position_ids, or [B, S, R/2]: pairs of the first
// R elements of a head are rotated. ONNX RotaryEmbedding-23.
Result<Values> rotary(Node& n) {
  const bool flat = n.rank(0) == 3;
  const Shape s = n.shape(0);
  const int64_t heads = n.i("num_heads", 0);
  if (s.size() != 3 && s.size() != 4) return damaged("the input must be of rank 3 or 4");
  if (flat && (heads < 1 || !s[2].is_const() || s[2].value() % heads != 0))
    return damaged("num_heads does not divide " + s.back().str());
  const ValueId x = flat ? n.b.reshape(n.in(0), {s[0], s[1], heads, s[2].value() / heads}) : n.in(0);
  if (!n.b.ok()) return n.done(kNoId);
  const Shape shape = n.b.shape(x);
  const auto size = shape[3].as_const();
  if (!size) return unsupported("the size of a head is not constant");
  int64_t rotated = n.i("rotary_embedding_dim", 0);
  if (rotated == 0) rotated = *size;
  if (rotated < 2 || rotated > *size || rotated % 2 != 0)
    return damaged("rotary_embedding_dim " + std::to_string(rotated) + " does not fit");
  const bool interleaved = n.i("interleaved", 0) != 0;
  const auto cache = [&](size_t i) {  // [B, S, R/2], with a dimension for the heads
    const ValueId c = n.has(3) ? n.b.make<ops::Gather>({n.in(i), n.in(3)}, [](ops::Gather&) {}) : n.in(i);
    if (!n.b.ok() || n.b.rank(c) != 3) return c;
    const Shape of = n.b.shape(c);
    return n.b.reshape(c, flat ? Shape{of[0], of[1], 1, of[2]} : Shape{of[0], 1, of[1], of[2]});
  };
  const ValueId cosine = cache(1), sine = cache(2);
  const ValueId y = rotated_pairs(n, x, cosine, sine, rotated, interleaved);
  return n.done(n.b.ok() ? n.b.reshape(y, s) : kNoId);
}

// Attention whose scores and probabilities graphs of the model may change. ONNX FlexAttention-1 (ai.onnx.preview).
Result<Values> flex_attention(Node& n) {
  for (size_t i = 0; i < 3; ++i)
    if (n.rank(i) != 4) return damaged("Q, K and V must be of rank 4");
  const Shape q = n.shape(0), k = n.shape(1), v = n.shape(2);
  const auto heads = q[1].as_const(), kv_heads = k[1].as_const(), size = q[3].as_const();
  if (!heads || !kv_heads || !size) return unsupported("the heads of " + shape_str(q) + " must be known");
  if (*kv_heads < 1 || *heads % *kv_heads != 0 || *size < 1)
    return damaged("the heads of " + shape_str(q) + " and " + shape_str(k) + " do not fit");
  const DType t = n.dtype(0);
  const int64_t precision = n.i("softmax_precision", static_cast<int64_t>(t == DType::kF64 ? t : DType::kF32));
  if (precision < 1 || !dtype_valid(static_cast<uint64_t>(precision)) ||
      !dtype_info(static_cast<DType>(precision)).is_float)
    return damaged("softmax_precision " + std::to_string(precision) + " is no type of floats");
  const auto p = static_cast<DType>(precision);
  const int64_t group = *heads / *kv_heads;
  // Query heads that share a key head are rows of one product.
  const auto grouped = [&](ValueId x, const Dim& last) {
    return group == 1 ? x : n.b.reshape(x, {q[0], *kv_heads, group * q[2], last});
  };
  const auto apart = [&](ValueId x, const Dim& last) {
    return group == 1 ? x : n.b.reshape(x, {q[0], *heads, q[2], last});
  };
  const auto changed = [&](const char* name, ValueId x) -> Result<ValueId> {
    const auto* a = n.attr(name);
    if (!a) return x;
    if (a->graphs.size() != 1) return damaged("attribute \"" + std::string(name) + "\" is no graph");
    LATHE_TRY(const Values y, n.importer().inline_graph(a->graphs[0], {x}));
    if (y.size() != 1 || n.b.rank(y[0]) != 4 || n.b.dtype(y[0]) != p)
      return damaged(std::string(name) + " does not give one tensor of the type and rank that it takes");
    return y[0];
  };
  const double scale = n.attr("scale") ? n.f("scale", 1) : 1 / std::sqrt(static_cast<double>(*size));
  const ValueId products =
      n.b.make<ops::MatMul>({grouped(n.in(0), q[3]), n.in(1)}, [](ops::MatMul& m) { m.trans_b = true; });
  ValueId x = n.b.op("Mul", {n.b.cast(apart(products, k[2]), p), n.b.scalar(p, scale)});
  LATHE_TRY(x, changed("score_mod", x));
  x = n.b.make<ops::Softmax>({x}, [](ops::Softmax& s) { s.axis = 3; });
  LATHE_TRY(x, changed("prob_mod", x));
  const ValueId y = n.b.add(std::make_shared<ops::MatMul>(), {grouped(n.b.cast(x, t), k[2]), n.in(2)});
  return n.done(apart(y, v[3]));
}

}  // namespace lathe::onnx
