// SPDX-License-Identifier: Apache-2.0
// Reshape moves nothing: the output is the input's memory. Sizes that are data are read and checked by a kernel.
#include "ops/reshape.h"

#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_reshape(Lowering& lowering, const Node& node) {
  if (any_fresh(lowering, node)) {
    const auto& op = *node.as<ops::Reshape>();
    const Shape& x = lowering.shape(node.inputs[0]);
    const auto rank = static_cast<int64_t>(lowering.shape(node.outputs[0]).size());
    LATHE_CHECK(lower_sizes(lowering, node,
                            {"lathe_reshape_sizes",
                             {lowering.buffer(node.inputs[1])},
                             {static_cast<int64_t>(lowering.dtype(node.inputs[1])), rank, op.allow_zero ? 1 : 0,
                              static_cast<int64_t>(x.size())},
                             {x},
                             size_symbols(lowering, node)}));
  }
  lowering.alias(node.outputs[0], node.inputs[0]);
  return {};
}

}  // namespace lathe::codegen
