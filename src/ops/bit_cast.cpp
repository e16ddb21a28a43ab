// SPDX-License-Identifier: Apache-2.0
#include "ops/bit_cast.h"

namespace lathe::ops {

Status BitCast::check(std::span<const DType> inputs) const {
  LATHE_CHECK(ElementwiseOp::check(inputs));
  const DType source = from == DType::kUndefined ? inputs[0] : from;
  if (dtype_bits(source) == dtype_bits(to) && contains(Types::kNumericOrBool, to)) return {};
  return fail(Code::kUsage, "the bits of " + std::string(dtype_name(source)) + " do not make " +
                                std::string(dtype_name(to)) + ": the sizes differ");
}

Expr BitCast::of(Inputs x) const {
  const Expr source = from == DType::kUndefined ? x[0] : cast(x[0], from);
  if (!dtype_packed(to)) return bitcast(source, to);
  // Between packed types the byte that holds the value is extended anew.
  return cast(bitcast(source, dtype_info(source.dtype()).is_signed ? DType::kI8 : DType::kU8), to);
}

const OpInfo& op_bit_cast() { return op_info<BitCast>(); }

}  // namespace lathe::ops
