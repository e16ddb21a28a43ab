// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize.h"

namespace lathe::ops {

Status Quantize::check(std::span<const DType> inputs) const {
  const DTypeInfo& t = dtype_info(to);
  const bool small_float = dtype_small_float(to) && to != DType::kF8E8M0;
  if (!small_float && (!t.is_int || t.bits > 16))
    return fail(Code::kUnsupported, "quantization to " + std::string(t.name) + " is not supported");
  if (inputs.size() > 2 && inputs[2] != DType::kUndefined && inputs[2] != to)
    return fail(Code::kUsage, "the zero point is not " + std::string(t.name));
  if (!dtype_info(inputs[1]).is_float) return fail(Code::kUsage, "the scale is not a float");
  return {};
}

Expr Quantize::of(Inputs x) const {
  const DTypeInfo& t = dtype_info(to);
  Expr v = cast(x[0], DType::kF32) / cast(x[1], DType::kF32);
  if (!t.is_float) v = unary(Prim::kRound, v);
  if (x.size() > 2 && x[2].builder) v = v + cast(x[2], DType::kF32);
  const double low = t.is_float ? -largest_finite(to) : t.is_signed ? -static_cast<double>(1 << (t.bits - 1)) : 0;
  const double high = t.is_float ? -low : low + static_cast<double>((1 << t.bits) - 1);
  return cast(min(max(v, low), high), to);
}

const OpInfo& op_quantize() { return op_info<Quantize>(); }

}  // namespace lathe::ops
