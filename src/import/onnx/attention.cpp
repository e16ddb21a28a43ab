// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "import/onnx/handlers.h"
#include "ops/pad.h"

namespace lathe::onnx {

namespace {

// [B, L, heads * D] → [B, heads, L, D]; an input of rank 4 has that form already.
Result<ValueId> heads_first(Node& n, ValueId x, int64_t heads) {
  const Shape s = n.b.shape(x);
  if (s.size() == 4) return x;
  if (s.size() != 3) return damaged("Q, K and V must be of rank 3 or 4");
  if (heads < 1 || (s[2].is_const() && s[2].value() % heads != 0)) return damaged("q_num_heads or kv_num_heads does not divide " + shape_str(s));
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

// Position i sees keys up to i: a constant [queries, keys].
Result<ValueId> causal_mask(Node& n, const Dim& queries, const Dim& keys, DType dtype) {
  const auto lq = queries.as_const(), lk = keys.as_const();
  if (!lq || !lk || *lq * *lk > int64_t{1} << 28) return unsupported("is_causal needs known lengths, not " + queries.str() + " and " + keys.str());
  Tensor t = Tensor::zeros(dtype, {*lq, *lk});
  for (int64_t i = 0; i < *lq; ++i)
    for (int64_t j = i + 1; j < *lk; ++j) t.set(i * *lk + j, -std::numeric_limits<double>::infinity());
  return n.b.constant(std::move(t));
}

}  // namespace

// Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen → Y, present_key, present_value. ONNX Attention-24.
Result<Values> attention(Node& n) {
  if (n.has(6)) return unsupported("the input nonpad_kv_seqlen is not supported");
  if (n.wants(3)) return unsupported("the output qk_matmul_output is not supported");
  if (n.f("softcap", 0) != 0) return unsupported("softcap is not supported");
  for (const char* window : {"left_window_size", "right_window_size"})
    if (n.i(window, -1) >= 0) return unsupported(std::string(window) + " is not supported");
  const bool flat = n.rank(0) == 3;
  LATHE_TRY(const ValueId q, heads_first(n, n.in(0), n.i("q_num_heads", 0)));
  LATHE_TRY(ValueId k, heads_first(n, n.in(1), n.i("kv_num_heads", 0)));
  LATHE_TRY(ValueId v, heads_first(n, n.in(2), n.i("kv_num_heads", 0)));
  const bool past = n.has(4) && n.has(5);
  if (past) {
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
  const bool wanted = n.i("is_causal", 0) != 0;
  const bool aligned = past || sq[2] == sk[2];
  if (wanted && !aligned) {
    LATHE_TRY(const ValueId causal, causal_mask(n, sq[2], sk[2], dtype));
    mask = mask == kNoId ? causal : n.b.op("Add", {mask, causal});
  }
  Values inputs = {q, k, v};
  if (mask != kNoId) inputs.push_back(mask);
  ValueId y = n.b.make<ops::Attention>(std::move(inputs), [&](ops::Attention& a) {
    a.scale = n.attr("scale") ? n.f("scale", 1) : 1 / std::sqrt(static_cast<double>(sq[3].value()));
    a.causal = wanted && aligned;
  });
  if (flat && n.b.ok()) {
    const Shape s = n.b.shape(y);
    y = n.b.reshape(n.b.transpose(y, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
  }
  return n.done({y, k, v});
}

}  // namespace lathe::onnx
