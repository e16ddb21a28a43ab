// SPDX-License-Identifier: Apache-2.0
#include "ops/cast.h"

namespace lathe::ops {

Expr Cast::of(Inputs x) const {
  if (to == DType::kF8E8M0 && x[0].dtype() != to) return cast_to_exponent(x[0], round_mode, saturate);
  if (!saturate || !dtype_small_float(to) || dtype_packed(to) || x[0].dtype() == to) return cast(x[0], to);
  const double most = largest_finite(to);
  return cast(min(max(cast(x[0], DType::kF32), -most), most), to);
}

const OpInfo& op_cast() { return op_info<Cast>(); }

}  // namespace lathe::ops
