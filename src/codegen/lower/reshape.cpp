// SPDX-License-Identifier: Apache-2.0
// Reshape moves nothing: the output is the input's memory.
#include "ops/reshape.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_reshape(Lowering& lowering, const Node& node) {
  lowering.alias(node.outputs[0], node.inputs[0]);
  return {};
}

}  // namespace lathe::codegen
