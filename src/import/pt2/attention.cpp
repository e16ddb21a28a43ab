// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// [batch…, L, D] with exactly two dimensions of batch.
ValueId four(Node& n, ValueId x) {
  if (!n.b.ok()) return kNoId;
  const Shape s = n.b.shape(x);
  if (s.size() == 4) return x;
  if (s.size() == 2) return n.b.reshape(x, {1, 1, s[0], s[1]});
  if (s.size() == 3) return n.b.reshape(x, {1, s[0], s[1], s[2]});
  return n.b.reshape(x, {product({s.begin(), s.end() - 3}), s[s.size() - 3], s[s.size() - 2], s.back()});
}

}  // namespace

// scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
Result<Values> attention(Node& n) {
  if (n.f("dropout_p", 0) > 0) return unsupported("the model was exported for training; call eval() first");
  const ValueId query = n.tensor("query"), key = n.tensor("key"), value = n.tensor("value");
  if (!n.b.ok()) return n.done(kNoId);
  const Shape shape = n.b.shape(query), values = n.b.shape(value);
  if (shape.size() < 2 || n.b.rank(key) != n.b.rank(query) || n.b.rank(value) != n.b.rank(query))
    return damaged("query, key and value differ in rank");
  if (shape.size() > 4 && n.has("attn_mask") && n.b.rank(n.tensor("attn_mask")) > 2)
    return unsupported("a mask for more than two dimensions of batch is not supported");
  const ValueId q = four(n, query), k = four(n, key), v = four(n, value);
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(q);
  const Dim queries = n.b.shape(q)[2], keys = n.b.shape(k)[2];
  if (!shape.back().is_const()) return unsupported("the size of a head is not known");
  const double scale = n.f("scale", 1 / std::sqrt(static_cast<double>(shape.back().value())));
  Values in = {q, k, v};
  if (n.has("attn_mask")) {
    ValueId mask = n.tensor("attn_mask");
    if (n.b.dtype(mask) == DType::kBool)
      mask = n.b.op("Where", {mask, n.b.scalar(t, 0), n.b.scalar(t, kMinusInfinity)});
    if (!n.b.ok()) return n.done(kNoId);
    mask = n.b.cast(mask, t);
    if (n.b.rank(mask) == 3) {
      Shape s = n.b.shape(mask);
      s.insert(s.begin(), Dim(1));
      mask = n.b.reshape(mask, s);
    }
    in.push_back(mask);
  }
  // Position i sees the keys up to i, counted from the front; the operator counts from the back.
  bool causal = n.flag("is_causal", false);
  if (causal && !(queries == keys)) {
    const auto lq = queries.as_const(), lk = keys.as_const();
    if (!lq || !lk || *lq * *lk > int64_t{1} << 28)
      return unsupported("is_causal with " + queries.str() + " queries and " + keys.str() + " keys");
    Tensor m = Tensor::zeros(t, {*lq, *lk});
    for (int64_t i = 0; i < *lq; ++i)
      for (int64_t j = i + 1; j < *lk; ++j) m.set(i * *lk + j, kMinusInfinity);
    in.push_back(n.b.constant(std::move(m)));
    causal = false;
  }
  const ValueId y = n.b.make<ops::Attention>(std::move(in), [&](ops::Attention& a) {
    a.scale = scale;
    a.causal = causal;
  });
  if (!n.b.ok()) return n.done(kNoId);
  Shape target(shape.begin(), shape.end() - 1);
  target.push_back(values.back());
  Values r(std::max<size_t>(n.output_count(), 1), kNoId);
  r[0] = n.b.reshape(y, target);
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
