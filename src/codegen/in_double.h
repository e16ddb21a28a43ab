// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/emitter.h"

namespace lathe::codegen {

/// pow(x, y), sinh, cosh, asinh, acosh or atanh of f32 vectors or scalars, worked in f64: within one unit in the last
/// place. Zeros, infinities and NaN as C has them. `y`: of kPow, else null.
Val in_double(Emitter& e, Prim prim, Val x, Val y);

}  // namespace lathe::codegen
