// SPDX-License-Identifier: Apache-2.0
#include "ops/transpose.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_transpose(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Transpose>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(lowering.shape(in)), to = row_strides(lowering.shape(out));
  for (size_t d = 0; d < to.size(); ++d)
    copy.axes.push_back({lowering.shape(out)[d], from[static_cast<size_t>(op.perm[d])], to[d]});
  copy.simplify();
  if (copy.contiguous()) {  // only dimensions of extent 1 changed places
    lowering.alias(out, in);
    return {};
  }
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), copy);
}

}  // namespace lathe::codegen
