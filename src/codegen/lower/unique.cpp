// SPDX-License-Identifier: Apache-2.0
#include "ops/unique.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_unique(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Unique>();
  const ValueId in = node.inputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  const DTypeInfo& info = dtype_info(type);
  if (type != DType::kBool && (info.bits < 8 || info.bits > 64 || (info.is_float && info.bits < 32)))
    return fail(Code::kUnsupported, "different values of " + std::string(info.name) + " are not generated yet");
  const auto output = [&](size_t i) {
    const bool wanted = i < node.outputs.size() && node.outputs[i] != kNoId;
    return wanted ? lowering.buffer(node.outputs[i]) : lowering.temporary(lowering.shape(node.outputs[0])[0] * Dim(8));
  };
  Call call;
  call.scalars = Lowering::symbolic({x[0], x[1]});
  call.buffers = {lowering.buffer(in), output(0), lowering.buffer(node.outputs[1]), output(2)};
  call.defines = {lowering.shape(node.outputs[0])[0].symbol_name()};
  call.grows = {call.buffers[1], call.buffers[3]};
  call.scratch_bytes = x[0] * Dim(16);
  call.kernel =
      lowering.longtail_kernel("lathe_unique", call.scalars,
                               {type == DType::kBool ? static_cast<int64_t>(DType::kU8) : static_cast<int64_t>(type),
                                x[0], x[1], op.sorted ? 1 : 0});
  call.tactic = "heap sort";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
