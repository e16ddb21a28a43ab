// SPDX-License-Identifier: Apache-2.0
// com.microsoft's attention operators. Each brings queries, keys and values to [batch, heads, length, size], appends
// keys and values to the past, sums its masks up to one that is added to the scores, and attends.
#include <algorithm>
#include <cmath>
#include <limits>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/attention.h"
#include "ops/gather.h"
#include "ops/gather_nd.h"
#include "ops/matmul.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

ValueId add(Node& n, ValueId a, ValueId b) {  // where one may be absent
  return a == kNoId ? b : b == kNoId ? a : n.b.op("Add", {a, b});
}

// [B, L, heads * D] → [B, heads, L, D]
Result<ValueId> split_heads(Node& n, ValueId x, int64_t heads) {
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(x);
  if (s.size() != 3 || heads < 1 || !s[2].is_const() || s[2].value() % heads != 0)
    return damaged("num_heads does not divide " + shape_str(s));
  return n.b.transpose(n.b.reshape(x, {s[0], s[1], heads, s[2].value() / heads}), {0, 2, 1, 3});
}

// [B, heads, L, D] → [B, L, heads * D]
ValueId merge_heads(Node& n, ValueId y) {
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(y);
  return n.b.reshape(n.b.transpose(y, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
}

// Part `i` of packed heads [B, L, heads, parts, D] → [B, heads, L, D].
ValueId unpacked_heads(Node& n, ValueId x, int64_t i) {
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(x);
  return n.b.transpose(n.b.reshape(n.b.slice(x, 3, i, i + 1), {s[0], s[1], s[2], s[4]}), {0, 2, 1, 3});
}

struct Lengths {
  Dim batch, queries, keys, past;
};

// The mask to be added to the scores, from one of the forms that say which keys are not padding: the end of each row
// [B] (with the starts [2 B]), or truth values [B, T], [B, S, T], [B, 1, M, M].
Result<ValueId> padding_mask(Node& n, ValueId mask, const Lengths& l, ValueId keys, DType dtype) {
  if (mask == kNoId || !n.b.ok()) return kNoId;
  const Shape s = n.b.shape(mask);
  const DType t = n.b.dtype(mask);
  ValueId seen = kNoId;
  if (s.size() == 1) {
    const bool ends = s[0] == l.batch, both = s[0] == l.batch * 2;
    if (!ends && !both) return unsupported("a mask of shape " + shape_str(s) + " is not supported");
    const ValueId position = n.b.cast(n.b.iota(l.keys, {keys}), t);
    const auto batch = l.batch.as_const();
    if (both && !batch) return unsupported("a mask of starts and ends needs a known batch");
    const auto column = [&](ValueId v) { return n.b.reshape(v, {l.batch, 1, 1, 1}); };
    seen = n.b.op("Less", {position, column(both ? n.b.slice(mask, 0, 0, *batch) : mask)});
    if (both) {
      const ValueId start = column(n.b.slice(mask, 0, *batch, 2 * *batch));
      seen = n.b.op("And", {seen, n.b.op("GreaterOrEqual", {position, start})});
    }
  } else {
    ValueId m = mask;
    if (s.size() == 2) {
      if (s[1].equals(1) && !l.keys.equals(1)) return kNoId;  // a dummy that masks nothing
      m = n.b.reshape(m, {s[0], 1, 1, s[1]});
    } else if (s.size() == 3) {
      m = n.b.reshape(m, {s[0], 1, s[1], s[2]});
    } else if (s.size() == 4) {
      const auto past = l.past.as_const(), queries = l.queries.as_const(), total = l.keys.as_const();
      if (!past || !queries || !total) return unsupported("a square mask needs known lengths");
      m = n.b.slice(n.b.slice(m, 2, *past, *past + *queries), 3, 0, *total);
    } else {
      return damaged("a mask of shape " + shape_str(s));
    }
    seen = n.b.op("Greater", {m, n.b.scalar(t, 0)});
  }
  return n.b.op("Where", {seen, n.b.scalar(dtype, 0), n.b.scalar(dtype, n.f("mask_filter_value", -10000))});
}

double scale_of(const Node& n, const Shape& q) {
  const double given = n.f("scale", 0);
  return given != 0 ? given : 1 / std::sqrt(static_cast<double>(q[3].value()));
}

// Queries against keys and values that include the past.
Result<ValueId> attend(Node& n, ValueId q, ValueId k, ValueId v, ValueId mask, bool causal) {
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(q);
  if (!s[3].is_const()) return unsupported("the size of a head is not constant");
  Values inputs = {q, k, v};
  if (mask != kNoId) inputs.push_back(mask);
  return n.b.make<ops::Attention>(std::move(inputs), [&](ops::Attention& a) {
    a.scale = scale_of(n, s);
    a.causal = causal;
  });
}

struct Projection {
  ValueId input, weights, bias, mask, past, attention_bias;
};

// input [B, S, I] × weights [I, q + k + v] → attention, and present [2, B, heads, T, D].
Result<Values> self_attention(Node& n, const Projection& p) {
  if (n.i("do_rotary", 0) != 0) return unsupported("do_rotary is not supported");
  if (n.i("past_present_share_buffer", 0) != 0) return unsupported("past_present_share_buffer is not supported");
  const int64_t heads = n.i("num_heads", 0);
  const Shape w = n.b.shape(p.weights), x = n.b.shape(p.input);
  if (x.size() != 3 || w.size() != 2 || !w[1].is_const()) return damaged("input or weights have the wrong shape");
  std::vector<int64_t> sizes = n.ints("qkv_hidden_sizes").value_or(std::vector<int64_t>{});
  if (sizes.empty()) sizes.assign(3, w[1].value() / 3);
  __int128 sum = 0;
  for (const int64_t size : sizes) sum += size;
  if (sizes.size() != 3 || std::ranges::any_of(sizes, [](int64_t v) { return v < 1; }) || sum != w[1].value())
    return damaged("qkv_hidden_sizes do not fit the weights " + shape_str(w));
  const ValueId all = add(n, n.b.add(std::make_shared<ops::MatMul>(), {p.input, p.weights}), p.bias);
  LATHE_TRY(const ValueId q, split_heads(n, n.b.slice(all, 2, 0, sizes[0]), heads));
  LATHE_TRY(ValueId k, split_heads(n, n.b.slice(all, 2, sizes[0], sizes[0] + sizes[1]), heads));
  LATHE_TRY(ValueId v, split_heads(n, n.b.slice(all, 2, sizes[0] + sizes[1], w[1].value()), heads));
  if (!n.b.ok()) return n.done(kNoId);
  Lengths l{x[0], x[1], x[1], 0};
  if (p.past != kNoId) {
    const Shape s = n.b.shape(p.past);
    if (s.size() != 5) return damaged("past " + shape_str(s) + " must be of rank 5");
    const auto half = [&](int64_t i) { return n.b.reshape(n.b.slice(p.past, 0, i, i + 1), {s[1], s[2], s[3], s[4]}); };
    k = n.b.concat({half(0), k}, 2);
    v = n.b.concat({half(1), v}, 2);
    l.past = s[3];
    l.keys = s[3] + x[1];
  }
  if (!n.b.ok()) return n.done(kNoId);
  LATHE_TRY(const ValueId padding, padding_mask(n, p.mask, l, k, n.b.dtype(q)));
  LATHE_TRY(const ValueId y, attend(n, q, k, v, add(n, padding, p.attention_bias), n.i("unidirectional", 0) != 0));
  ValueId present = kNoId;
  if (n.wants(1) && n.b.ok()) {
    const auto lifted = [&](ValueId t) {
      Shape s = n.b.shape(t);
      s.insert(s.begin(), Dim(1));
      return n.b.reshape(t, s);
    };
    present = n.b.concat({lifted(k), lifted(v)}, 0);
  }
  return n.done({merge_heads(n, y), present});
}

}  // namespace

// input, weights, bias?, mask_index?, past?, attention_bias? → output, present
Result<Values> contrib_attention(Node& n) {
  return self_attention(n, {n.in(0), n.in(1), n.in(2), n.in(3), n.in(4), n.in(5)});
}

// input, weights, bias, input_scale, weight_scale, mask_index?, input_zero_point?, weight_zero_point?, past?
Result<Values> qattention(Node& n) {
  LATHE_TRY(const ValueId input, dequantized(n, n.in(0), n.in(3), n.in(6), 0));
  LATHE_TRY(const ValueId weights, dequantized(n, n.in(1), n.in(4), n.in(7), 1));
  if (!n.b.ok()) return n.done(kNoId);
  return self_attention(n, {input, weights, n.in(2), n.in(5), n.in(8), kNoId});
}

// query, key?, value?, bias?, key_padding_mask?, attention_bias?, past_key?, past_value? → output, present_key,
// present_value. Without key and value they are packed into the query [B, S, heads, 3, D]; without value into the key.
Result<Values> multi_head_attention(Node& n) {
  if (n.has(8) || n.has(9)) return unsupported("past_sequence_length and cache_indirection are not supported");
  if (n.wants(3)) return unsupported("the output qk is not supported");
  const int64_t heads = n.i("num_heads", 0);
  // The bias of q, k and v follow each other; where one begins depends on the sizes.
  const auto biased = [&](ValueId x, const Dim& from, const Dim& size) -> ValueId {
    if (!n.has(3) || !n.b.ok()) return x;
    if (!from.is_const() || !size.is_const()) {
      n.b.set_error({Code::kUnsupported, "hidden sizes must be known"});
      return kNoId;
    }
    ValueId part = n.b.slice(n.in(3), 0, from.value(), from.value() + size.value());
    if (n.b.ok() && n.b.rank(x) == 4) part = n.b.reshape(part, {n.b.shape(x)[1], 1, n.b.shape(x)[3]});
    return n.b.op("Add", {x, part});
  };
  ValueId q = kNoId, k = kNoId, v = kNoId;
  const auto packed = [&](size_t i, int64_t parts) {
    const Shape s = n.shape(i);
    return s.size() == 5 && s[3].equals(parts) && s[2].equals(heads);
  };
  const Shape sq = n.shape(0);
  if (packed(0, 3)) {
    const Dim hidden = sq[2] * sq[4];
    q = biased(unpacked_heads(n, n.in(0), 0), 0, hidden);
    k = biased(unpacked_heads(n, n.in(0), 1), hidden, hidden);
    v = biased(unpacked_heads(n, n.in(0), 2), hidden * 2, hidden);
  } else {
    if (sq.size() != 3 || !n.has(1)) return damaged("query or key have the wrong shape");
    LATHE_TRY(q, split_heads(n, biased(n.in(0), 0, sq[2]), heads));
    if (packed(1, 2)) {
      k = biased(unpacked_heads(n, n.in(1), 0), sq[2], sq[2]);
      v = biased(unpacked_heads(n, n.in(1), 1), sq[2] * 2, sq[2]);
    } else if (n.rank(1) == 4 && n.rank(2) == 4) {  // computed before, by heads
      k = n.in(1);
      v = n.in(2);
    } else {
      if (n.rank(1) != 3 || n.rank(2) != 3) return damaged("key or value have the wrong shape");
      LATHE_TRY(k, split_heads(n, biased(n.in(1), sq[2], sq[2]), heads));
      LATHE_TRY(v, split_heads(n, biased(n.in(2), sq[2] * 2, n.shape(2)[2]), heads));
    }
  }
  if (!n.b.ok()) return n.done(kNoId);
  Lengths l{sq[0], sq[1], 0, 0};
  if (n.has(6) && n.has(7)) {
    if (n.rank(6) != 4) return damaged("past_key must be of rank 4");
    l.past = n.shape(6)[2];
    k = n.b.concat({n.in(6), k}, 2);
    v = n.b.concat({n.in(7), v}, 2);
  }
  if (!n.b.ok()) return n.done(kNoId);
  l.keys = n.b.shape(k)[2];
  LATHE_TRY(const ValueId padding, padding_mask(n, n.in(4), l, k, n.b.dtype(q)));
  LATHE_TRY(const ValueId y, attend(n, q, k, v, add(n, padding, n.in(5)), n.i("unidirectional", 0) != 0));
  return n.done({merge_heads(n, y), k, v});
}

// X [B, H, S, D] or [B, S, H * D], position_ids [B, S] or the first position [1], cos and sin [max, R / 2].
Result<Values> contrib_rotary(Node& n) {
  if (n.i("is_packed_batching", 0) != 0) return unsupported("is_packed_batching is not supported");
  const Shape s = n.shape(0), table = n.shape(2);
  if ((s.size() != 3 && s.size() != 4) || table.size() != 2) return damaged("input or cos_cache have the wrong rank");
  const bool flat = s.size() == 3;
  const auto half = table[1].as_const();
  if (!half || !s.back().is_const()) return unsupported("the size of a head is not constant");
  const int64_t heads = n.i("num_heads", 0);
  const int64_t size = !flat ? s[3].value() : heads > 0 ? s[2].value() / heads : 2 * *half;
  const int64_t rotated = 2 * *half;
  if (size < 1 || (flat && s[2].value() % size != 0) || rotated < 2 || rotated > size)
    return damaged("num_heads or cos_cache do not fit " + shape_str(s));
  const ValueId x = flat ? n.b.reshape(n.in(0), {s[0], s[1], s[2].value() / size, size}) : n.in(0);
  const Dim length = flat ? s[1] : s[2];
  const ValueId position =
      n.rank(1) == 1 ? n.b.op("Add", {n.b.reshape(n.in(1), {1, 1}), n.b.iota(length, {n.in(0)})}) : n.in(1);
  const auto angles = [&](size_t i) {  // [B, S, R / 2] with a dimension for the heads
    const ValueId rows = n.b.make<ops::Gather>({n.in(i), position}, [](ops::Gather&) {});
    if (!n.b.ok()) return kNoId;
    const Shape r = n.b.shape(rows);
    return n.b.reshape(rows, flat ? Shape{r[0], r[1], 1, r[2]} : Shape{r[0], 1, r[1], r[2]});
  };
  const ValueId y = rotated_pairs(n, x, angles(2), angles(3), rotated, n.i("interleaved", 0) != 0);
  return n.done(n.b.ok() ? n.b.reshape(y, s) : kNoId);
}

namespace {

// softmax(softcap * tanh(q k^T * scale / softcap) + mask) v with each key shared by a group of queries' heads.
ValueId capped_attention(Node& n, ValueId q, ValueId k, ValueId v, ValueId mask, double softcap) {
  const Shape sq = n.b.shape(q), sk = n.b.shape(k);
  const DType t = n.b.dtype(q);
  const Dim group = floor_div(sq[1], sk[1]);
  const auto shared = [&](ValueId x) { return n.b.reshape(x, {sk[0], sk[1], 1, sk[2], sk[3]}); };
  const ValueId scores = n.b.make<ops::MatMul>({n.b.reshape(q, {sq[0], sk[1], group, sq[2], sq[3]}), shared(k)},
                                               [](ops::MatMul& m) { m.trans_b = true; });
  const ValueId narrow = n.b.op("Tanh", {n.b.op("Mul", {scores, n.b.scalar(t, scale_of(n, sq) / softcap)})});
  ValueId x = n.b.op("Mul", {narrow, n.b.scalar(t, softcap)});
  if (!n.b.ok()) return kNoId;
  x = n.b.op("Add", {n.b.reshape(x, {sq[0], sq[1], sq[2], sk[2]}), mask});
  x = n.b.make<ops::Softmax>({x}, [](ops::Softmax& s) { s.axis = 3; });
  if (!n.b.ok()) return kNoId;
  const ValueId weights = n.b.reshape(x, {sq[0], sk[1], group, sq[2], sk[2]});
  const ValueId y = n.b.add(std::make_shared<ops::MatMul>(), {weights, shared(v)});
  return n.b.ok() ? n.b.reshape(y, sq) : kNoId;
}

}  // namespace

// query, key?, value?, past_key?, past_value?, seqlens_k [B], total_sequence_length, cos?, sin?, position_ids?,
// attention_bias?, head_sink? (12, 13: scales of a quantized cache), q_norm_weight?, k_norm_weight? → output,
// present_key, present_value. Row b holds seqlens_k[b] + 1 keys, the last S of them new; what the past buffer holds
// beyond its own is overwritten.
Result<Values> group_query_attention(Node& n) {
  for (const auto& [name, value] : {std::pair{"kv_cache_bit_width", 0}, {"sliding_window_cache", 0}, {"qk_output", 0}})
    if (n.i(name, value) != value) return unsupported(std::string(name) + " is not supported");
  if (n.i("causal", 1) != 1) return unsupported("causal must be 1");
  if (n.has(12) || n.has(13) || n.has(16)) return unsupported("quantized caches and query_seqlens are not supported");
  if (n.wants(3)) return unsupported("the output output_qk is not supported");
  const int64_t heads = n.i("num_heads", 0), kv_heads = n.i("kv_num_heads", 0);
  const Shape s = n.shape(0);
  if (s.size() != 3 || heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || heads > 1 << 20)
    return damaged("query " + shape_str(s) + " does not fit num_heads and kv_num_heads");
  if (!n.has(5) || !n.has(6)) return damaged("seqlens_k and total_sequence_length are missing");
  ValueId q = n.in(0), k = n.in(1), v = n.in(2);
  if (k == kNoId) {  // packed
    const auto width = s[2].as_const();
    const int64_t all = heads + 2 * kv_heads;
    if (!width || *width % all != 0) return damaged("packed query " + shape_str(s) + " does not fit num_heads");
    const int64_t size = *width / all;
    k = n.b.slice(q, 2, heads * size, (heads + kv_heads) * size);
    v = n.b.slice(q, 2, (heads + kv_heads) * size, *width);
    q = n.b.slice(q, 2, 0, heads * size);
  }
  LATHE_TRY(q, split_heads(n, q, heads));
  LATHE_TRY(k, split_heads(n, k, kv_heads));
  LATHE_TRY(v, split_heads(n, v, kv_heads));
  if (n.has(14) && n.has(15)) {
    const auto normalized = [&](ValueId x, size_t weight, const char* own) {
      const double epsilon = n.f(own, n.f("qk_norm_epsilon", 1e-6));
      const ValueId mean = n.b.reduce("mean", n.b.op("Mul", {x, x}), {3}, true);
      const ValueId root = n.b.op("Sqrt", {n.b.op("Add", {mean, n.b.scalar(n.b.dtype(x), epsilon)})});
      return n.b.op("Mul", {n.b.op("Div", {x, root}), n.in(weight)});
    };
    q = normalized(q, 14, "q_norm_epsilon");
    k = normalized(k, 15, "k_norm_epsilon");
  }
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(q);
  const Shape sk = n.b.shape(k);
  const Dim &batch = s[0], &queries = s[1];
  const ValueId zero = n.b.i64(0);
  // Positions of the new keys: before[b] of the past come first.
  const ValueId steps = n.b.iota(queries, {n.in(0)});
  const ValueId count = n.b.reshape(n.b.shape_value({queries}, {n.in(0)}, false), {});
  const ValueId total = n.b.op("Add", {n.b.cast(n.in(5), DType::kI64), n.b.i64(1)});
  const ValueId before = n.b.reshape(n.b.op("Max", {n.b.op("Sub", {total, count}), zero}), {batch, 1});
  if (n.i("do_rotary", 0) != 0) {
    if (!n.has(7) || !n.has(8)) return damaged("cos_cache and sin_cache are missing");
    const Shape table = n.shape(7);
    if (table.size() != 2 || !table[1].is_const() || !sk[3].is_const() || 2 * table[1].value() > sk[3].value())
      return damaged("cos_cache " + shape_str(table) + " does not fit");
    const ValueId position = n.has(9) ? n.in(9) : n.b.op("Add", {before, steps});
    const auto angles = [&](size_t i) {
      const ValueId rows = n.b.make<ops::Gather>({n.in(i), position}, [](ops::Gather&) {});
      return n.b.ok() ? n.b.reshape(rows, {batch, 1, queries, table[1]}) : kNoId;
    };
    const ValueId cosine = angles(7), sine = angles(8);
    const bool interleaved = n.i("rotary_interleaved", 0) != 0;
    q = rotated_pairs(n, q, cosine, sine, 2 * table[1].value(), interleaved);
    k = rotated_pairs(n, k, cosine, sine, 2 * table[1].value(), interleaved);
  }
  // The length of the new cache: as much as is asked for, and no less than the past buffer.
  ValueId length = n.b.reshape(n.b.cast(n.in(6), DType::kI64), {});
  if (n.has(3) != n.has(4) || (n.has(3) && n.rank(3) != 4))
    return damaged("past_key or past_value have the wrong shape");
  Dim past = 0;
  if (n.has(3)) {
    past = n.shape(3)[2];
    k = n.b.concat({n.in(3), k}, 2);
    v = n.b.concat({n.in(4), v}, 2);
  }
  const ValueId capacity = n.has(3) ? n.b.reshape(n.b.shape_value({past}, {n.in(3)}, false), {}) : zero;
  const ValueId position = n.b.op("Range", {zero, n.b.op("Max", {length, capacity}), n.b.i64(1)});
  if (!n.b.ok()) return n.done(kNoId);
  const Dim keys = n.b.shape(position)[0];
  // Where each key comes from in [past, new]: the past's own, then the new ones; what is beyond is not seen.
  const ValueId fresh = n.b.op("Sub", {n.b.op("Add", {position, capacity}), before});
  const ValueId last = n.b.op("Sub", {n.b.op("Add", {capacity, count}), n.b.i64(1)});
  const ValueId source = n.b.op("Where", {n.b.op("Less", {position, before}), position, n.b.op("Min", {fresh, last})});
  const ValueId at = n.b.reshape(n.b.op("Max", {source, zero}), {batch, keys, 1});
  const auto gathered = [&](ValueId x) {  // [B, heads, past + S, D] → [B, heads, keys, D]
    const ValueId rows =
        n.b.make<ops::GatherND>({n.b.transpose(x, {0, 2, 1, 3}), at}, [](ops::GatherND& g) { g.batch_dims = 1; });
    return n.b.transpose(rows, {0, 2, 1, 3});
  };
  k = gathered(k);
  v = gathered(v);
  if (!n.b.ok()) return n.done(kNoId);
  // Query i of row b sees keys up to before[b] + i, within the window.
  const auto column = [&](ValueId x, const Shape& to) { return n.b.reshape(x, to); };
  const ValueId own = n.b.op("Add", {column(before, {batch, 1, 1, 1}), column(steps, {queries, 1})});
  ValueId seen = n.b.op("LessOrEqual", {position, own});
  if (const int64_t window = n.i("local_window_size", -1); window >= 0)
    seen = n.b.op("And", {seen, n.b.op("Less", {n.b.op("Sub", {own, position}), n.b.i64(window)})});
  const double lowest = t == DType::kF16 ? -65504 : -1e38;
  ValueId mask = n.b.op("Where", {seen, n.b.scalar(t, 0), n.b.scalar(t, lowest)});
  if (n.has(10)) mask = n.b.op("Add", {mask, n.in(10)});
  const ValueId present_key = k, present_value = v;
  if (n.i("smooth_softmax", 0) > 0 || n.has(11)) {
    // One more key of zeros, whose score is the sink's: it takes part in the sum alone.
    if (!n.b.ok()) return n.done(kNoId);
    const auto appended = [&](ValueId x) {
      const ValueId one = n.b.op("Mul", {n.b.slice(x, 2, 0, 1), n.b.scalar(t, 0)});
      return n.b.concat({x, one}, 2);
    };
    k = appended(k);
    v = appended(v);
    ValueId first = n.b.op("Mul", {n.b.slice(mask, 3, 0, 1), n.b.scalar(t, 0)});  // [B, 1 or H, S, 1]
    const ValueId every =
        n.b.constant(Tensor::of<float>(DType::kF32, {heads, 1, 1}, std::vector<float>(static_cast<size_t>(heads), 0)));
    const ValueId spread = n.b.cast(every, t);
    const ValueId sink = n.has(11) ? n.b.reshape(n.in(11), {heads, 1, 1}) : spread;
    mask = n.b.concat({n.b.op("Add", {mask, spread}), n.b.op("Add", {first, sink})}, 3);
  }
  const double softcap = n.f("softcap", 0);
  if (!n.b.ok()) return n.done(kNoId);
  if (softcap != 0)
    return n.done({merge_heads(n, capped_attention(n, q, k, v, mask, softcap)), present_key, present_value});
  LATHE_TRY(const ValueId y, attend(n, q, k, v, mask, false));
  return n.done({merge_heads(n, y), present_key, present_value});
}

}  // namespace lathe::onnx
