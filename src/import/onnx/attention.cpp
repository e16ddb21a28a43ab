// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/gather.h"
#include "ops/pad.h"

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

}  // namespace

// Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen → Y, present_key, present_value. ONNX Attention-24.
Result<Values> attention(Node& n) {
  if (n.has(6)) return unsupported("the input nonpad_kv_seqlen is not supported");
  if (n.wants(3)) return unsupported("the output qk_matmul_output is not supported");
  if (n.f("softcap", 0) != 0) return unsupported("softcap is not supported");
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
  ValueId mask = kNoId;
  if (n.has(3)) {
    LATHE_TRY(mask, additive_mask(n, n.in(3), dtype, sk[2]));
  }
  // The operator aligns the last query with the last key; ONNX counts from the first key after the past.
  const bool causal = n.i("is_causal", 0) != 0;
  Window window{n.i("left_window_size", -1), n.i("right_window_size", -1)};
  const bool windowed = window.left >= 0 || window.right >= 0;
  if (windowed || (causal && !aligned)) {
    if (causal) window.right = 0;
    LATHE_TRY(const ValueId visible, window_mask(n, sq[2], sk[2], past, window, dtype));
    mask = mask == kNoId ? visible : n.b.op("Add", {mask, visible});
  }
  Values inputs = {q, k, v};
  if (mask != kNoId) inputs.push_back(mask);
  ValueId y = n.b.make<ops::Attention>(std::move(inputs), [&](ops::Attention& a) {
    a.scale = n.attr("scale") ? n.f("scale", 1) : 1 / std::sqrt(static_cast<double>(sq[3].value()));
    a.causal = causal && aligned && !windowed;
  });
  if (flat && n.b.ok()) {
    const Shape s = n.b.shape(y);
    y = n.b.reshape(n.b.transpose(y, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
  }
  return n.done({y, k, v});
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

}  // namespace lathe::onnx
