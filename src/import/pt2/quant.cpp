// SPDX-License-Identifier: Apache-2.0
// quantized_decomposed.*: what PT2E quantization leaves in a graph.
#include "ops/quantize.h"

#include <limits>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

namespace {

struct Parameters {
  ValueId scale = kNoId, zero = kNoId;
};

// Scale and zero point, a number each or (per_channel) a vector along `axis`, to broadcast against x.
Parameters parameters(Node& n, ValueId x, DType integer) {
  const bool channels = n.has("scales");
  Parameters p{n.as(channels ? "scales" : "scale", DType::kF32), kNoId};
  const char* zero = channels ? "zero_points" : "zero_point";
  if (n.has(zero)) p.zero = n.as(zero, integer);
  if (!n.b.ok()) return p;
  Shape s;
  if (channels) {
    const int64_t axis = n.axis(n.i("axis", 0), n.b.rank(x));
    s.assign(static_cast<size_t>(n.b.rank(x) - axis), Dim(1));
    s[0] = product(n.b.shape(p.scale));
  }
  p.scale = n.b.reshape(p.scale, s);
  if (p.zero != kNoId) p.zero = n.b.reshape(p.zero, s);
  return p;
}

}  // namespace

// clamp(round(x / scale) + zero_point, quant_min, quant_max)
Result<Values> quantize(Node& n) {
  const ValueId x = n.tensor("input");
  const DType t = n.dtype("dtype", DType::kU8);
  const Parameters p = parameters(n, x, t);
  const int64_t low = n.i("quant_min", std::numeric_limits<int64_t>::min());
  const int64_t high = n.i("quant_max", std::numeric_limits<int64_t>::max());
  if (!n.b.ok()) return n.done(kNoId);
  if (!dtype_info(t).is_int) return unsupported("quantizing to " + std::string(dtype_name(t)) + " is not supported");
  Values in = {x, p.scale};
  if (p.zero != kNoId) in.push_back(p.zero);
  ValueId q = n.b.make<ops::Quantize>(std::move(in), [&](ops::Quantize& o) { o.to = t; });
  // The type's own range is saturated to anyway.
  const int bits = dtype_bits(t);
  const bool is_signed = dtype_info(t).is_signed;
  const int64_t least = is_signed ? -(int64_t{1} << (bits - 1)) : 0;
  const int64_t most = (int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
  if (bits <= 32 && (low > least || high < most))
    q = n.b.op("Clip", {q, n.b.scalar(t, static_cast<double>(std::max(low, least))),
                        n.b.scalar(t, static_cast<double>(std::min(high, most)))});
  return n.done(q);
}

Result<Values> dequantize(Node& n) {
  const ValueId x = n.tensor("input");
  if (!n.b.ok()) return n.done(kNoId);
  const Parameters p = parameters(n, x, n.b.dtype(x));
  Values in = {x, p.scale};
  if (p.zero != kNoId) in.push_back(p.zero);
  const ValueId y = n.b.op("Dequantize", std::move(in));
  return n.done(n.b.ok() ? n.b.cast(y, n.dtype("out_dtype", DType::kF32)) : kNoId);
}

}  // namespace lathe::pt2
