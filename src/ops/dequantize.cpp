// SPDX-License-Identifier: Apache-2.0
#include "ops/dequantize.h"

namespace lathe::ops {

Status Dequantize::check(std::span<const DType> inputs) const {
  const DTypeInfo& t = dtype_info(inputs[0]);
  const bool small_float = dtype_small_float(inputs[0]) && inputs[0] != DType::kF8E8M0;
  if (!small_float && (!t.is_int || t.bits > 32))
    return fail(Code::kUnsupported, "dequantization of " + std::string(t.name) + " is not supported");
  if (inputs.size() > 2 && inputs[2] != DType::kUndefined && inputs[2] != inputs[0])
    return fail(Code::kUsage, "the zero point is not " + std::string(t.name));
  if (!dtype_info(inputs[1]).is_float) return fail(Code::kUsage, "the scale is not a float");
  return {};
}

Expr Dequantize::of(Inputs x) const {
  Expr v = cast(x[0], DType::kF32);
  if (x.size() > 2 && x[2].builder) v = v - cast(x[2], DType::kF32);
  return cast(v * cast(x[1], DType::kF32), x[1].dtype());
}

const OpInfo& op_dequantize() { return op_info<Dequantize>(); }

}  // namespace lathe::ops
