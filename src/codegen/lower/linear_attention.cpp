// SPDX-License-Identifier: Apache-2.0
#include "ops/linear_attention.h"

#include <bit>

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_linear_attention(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::LinearAttention>();
  const DType type = lowering.dtype(node.inputs[0]);
  if (type != DType::kF32)
    return fail(Code::kUnsupported, "linear attention in " + std::string(dtype_name(type)) + " is not generated yet");
  const auto input = [&](size_t i) { return i < node.inputs.size() ? node.inputs[i] : kNoId; };
  const auto width = [&](size_t i) { return input(i) == kNoId ? Dim(0) : lowering.shape(input(i)).back(); };
  const Shape &q = lowering.shape(input(0)), &k = lowering.shape(input(1)), &v = lowering.shape(input(2));
  const int64_t dk = k[2].value() / op.kv_heads, dv = v[2].value() / op.kv_heads;
  Call call;
  for (size_t i = 0; i < 6; ++i) call.buffers.push_back(lowering.buffer(input(i)));
  call.buffers.push_back(lowering.buffer(node.outputs[0]));
  // The state is worked in where it is to be in the end.
  call.buffers.push_back(node.outputs.size() > 1 && node.outputs[1] != kNoId
                             ? lowering.buffer(node.outputs[1])
                             : lowering.temporary(q[0] * Dim(op.kv_heads * dk * dv * 4)));
  const std::vector<Dim> arguments{q[1], op.q_heads, op.kv_heads, dk,
                                   dv,   width(4),   width(5),    std::bit_cast<int64_t>(op.scale)};
  call.scalars = Lowering::symbolic(arguments);
  call.tasks = q[0] * Dim(op.kv_heads);
  call.scratch_bytes = 4 * dv;
  call.kernel = lowering.longtail_kernel("lathe_linear_attention", call.scalars, arguments);
  call.tactic = "recurrent";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
