// SPDX-License-Identifier: Apache-2.0
#include "ops/roi_align.h"

#include <bit>

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_roi_align(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::RoiAlign>();
  const ValueId in = node.inputs[0], rois = node.inputs[1], image = node.inputs[2], out = node.outputs[0];
  const DType type = lowering.dtype(in);
  if (type != DType::kF32 && type != DType::kF64)
    return fail(Code::kUnsupported, "regions of " + std::string(dtype_name(type)) + " are not generated yet");
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  const std::vector<Dim> arguments{type == DType::kF64 ? 1 : 0,
                                   x[0],
                                   x[1],
                                   x[2],
                                   x[3],
                                   op.height,
                                   op.width,
                                   op.samples,
                                   op.kind == "max" ? 1 : 0,
                                   op.half_pixel ? 1 : 0,
                                   static_cast<int64_t>(std::bit_cast<uint32_t>(static_cast<float>(op.scale)))};
  Call call;
  call.scalars = Lowering::symbolic(arguments);
  call.buffers = {lowering.buffer(in), lowering.buffer(rois), lowering.buffer(image), lowering.buffer(out)};
  call.tasks = y[0] * ceil_div(x[1], 64);
  call.kernel = lowering.longtail_kernel("lathe_roi_align", call.scalars, arguments);
  call.tactic = op.kind;
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
