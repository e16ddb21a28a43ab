// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/lowering.h"
#include "ops/custom.h"

namespace lathe::codegen {

/// A call of a custom operator: an instruction that the runtime carries out itself (engine/operator_call.h).
Status lower_custom(Lowering& lowering, const Node& node);

}  // namespace lathe::codegen
