// SPDX-License-Identifier: Apache-2.0
#include "ops/size.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_size(Lowering& lowering, const Node& node) { return lower_shape(lowering, node); }

}  // namespace lathe::codegen
