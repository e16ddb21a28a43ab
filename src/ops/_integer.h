// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// What convolutions and matrix products of integers have in common: operands of 8 or 16 bits, signed or not and not
/// necessarily alike, from which a zero point is taken off before they are multiplied. Sums are exact: i32 where both
/// operands have 8 bits, i64 where one has 16 (a sum that leaves i32 wraps around).

/// Whether an element type is one of those.
constexpr bool is_small_integer(DType t) {
  return dtype_info(t).is_int && dtype_info(t).bits >= 8 && dtype_info(t).bits <= 16;
}
/// The type of the sums; of equal other types, that type.
DType sum_type(DType x, DType w);
/// The operands' types go together, and zero points are in the range of small integers and 0 for all others.
Status check_operands(const ValueInfo& x, const ValueInfo& w, int64_t x_zero, int64_t w_zero);
/// Integers less `zero` as i64.
Tensor centred(const Tensor& x, int64_t zero);
/// i64 sums as `type` (of 32 or 64 bits), wrapped around.
Tensor wrapped(const Tensor& sums, DType type);

}  // namespace lathe::ops
