// SPDX-License-Identifier: Apache-2.0
#include "ops/lookup.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_lookup(Lowering& lowering, const Node& node) {
  const DType keys = lowering.dtype(node.inputs[0]);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(node.inputs[2])));
  const Dim& count = lowering.shape(node.inputs[1])[0];
  Call call;
  call.scalars = Lowering::symbolic({count});
  for (const ValueId v : node.inputs) call.buffers.push_back(lowering.buffer(v));
  call.buffers.push_back(lowering.buffer(node.outputs[0]));
  call.tasks = product(lowering.shape(node.inputs[0]));
  call.kernel = lowering.longtail_kernel("lathe_lookup", call.scalars, {static_cast<int64_t>(keys), count, bytes});
  call.tactic = "binary search";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
