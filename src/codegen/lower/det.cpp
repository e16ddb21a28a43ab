// SPDX-License-Identifier: Apache-2.0
#include "ops/det.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_det(Lowering& lowering, const Node& node) {
  const Shape& x = lowering.shape(node.inputs[0]);
  const DType type = lowering.dtype(node.inputs[0]);
  if (type != DType::kF32 && type != DType::kF64)
    return fail(Code::kUnsupported, "determinants of " + std::string(dtype_name(type)) + " are not generated yet");
  const Dim& n = x.back();
  Call call;
  call.scalars = Lowering::symbolic({n});
  call.buffers = {lowering.buffer(node.inputs[0]), lowering.buffer(node.outputs[0])};
  call.tasks = product(lowering.shape(node.outputs[0]));
  call.scratch_bytes = n * n * Dim(8);
  call.kernel = lowering.longtail_kernel("lathe_det", call.scalars, {type == DType::kF64 ? 1 : 0, n});
  call.tactic = "elimination";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
