// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "codegen/emitter.h"

namespace lathe::codegen {

/// sin, cos, tan, asin, acos or atan of lanes of f32. `exactly` makes code for arguments so large that reducing them
/// takes more digits than a register has.
Val trigonometric(Emitter& e, Prim prim, Val x, const std::function<Val()>& exactly);

}  // namespace lathe::codegen
