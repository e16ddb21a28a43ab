// SPDX-License-Identifier: Apache-2.0
#include "ops/non_max_suppression.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_non_max_suppression(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::NonMaxSuppression>();
  const Shape& scores = lowering.shape(node.inputs[1]);
  const auto input = [&](size_t i) { return i < node.inputs.size() ? lowering.buffer(node.inputs[i]) : kNone; };
  Call call;
  call.scalars = Lowering::symbolic(scores);
  call.buffers = {input(0), input(1), input(2), input(3), input(4), lowering.buffer(node.outputs[0])};
  call.defines = {lowering.shape(node.outputs[0])[0].symbol_name()};
  call.grows = {call.buffers[5]};
  call.scratch_bytes = scores[2] * Dim(8);
  call.kernel = lowering.longtail_kernel("lathe_non_max_suppression", call.scalars,
                                         {scores[0], scores[1], scores[2], op.center_point_box ? 1 : 0});
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
