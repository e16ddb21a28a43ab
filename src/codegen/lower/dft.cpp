// SPDX-License-Identifier: Apache-2.0
#include "ops/dft.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_dft(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Dft>();
  const Shape &x = lowering.shape(node.inputs[0]), &y = lowering.shape(node.outputs[0]);
  const DType type = lowering.dtype(node.inputs[0]);
  if (type != DType::kF32 && type != DType::kF64)
    return fail(Code::kUnsupported, "transforms of " + std::string(dtype_name(type)) + " are not generated yet");
  const auto axis = static_cast<std::ptrdiff_t>(op.axis);
  const Dim outer = product(Shape(x.begin(), x.begin() + axis)),
            inner = product(Shape(x.begin() + axis + 1, x.end() - 1));
  const Dim &given = x[static_cast<size_t>(axis)], &made = y[static_cast<size_t>(axis)];
  Call call;
  call.scalars = Lowering::symbolic({given, made, inner});
  call.buffers = {lowering.buffer(node.inputs[0]), lowering.buffer(node.outputs[0])};
  call.tasks = outer * inner;
  call.scratch_bytes = max(given, made) * Dim(48);
  call.kernel = lowering.longtail_kernel(
      "lathe_dft", call.scalars,
      {type == DType::kF64 ? 1 : 0, given, made, inner, x.back(), op.inverse ? 1 : 0, op.onesided ? 1 : 0});
  call.tactic = "mixed radix";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
