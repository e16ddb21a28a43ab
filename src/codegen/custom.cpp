// SPDX-License-Identifier: Apache-2.0
#include "codegen/custom.h"

#include "codegen/sizes.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

Status lower_custom(Lowering& lowering, const Node& node) {
  CustomOperator op = node.as<ops::Custom>()->described();
  Call call;
  call.buffers.push_back(kNone);
  const auto add = [&](ValueId v, std::vector<CustomOperator::Operand>& operands) {
    const Shape none;
    const Shape& s = v == kNoId ? none : lowering.shape(v);
    operands.push_back({v == kNoId ? DType::kUndefined : lowering.dtype(v), static_cast<int32_t>(s.size())});
    call.buffers.push_back(lowering.buffer(v));
    call.scalars.insert(call.scalars.end(), s.begin(), s.end());
  };
  for (const ValueId v : node.inputs) add(v, op.inputs);
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    add(node.outputs[i], op.outputs);
    const auto fresh = fresh_dims(lowering, node, i);
    for (size_t d = 0; d < fresh.size(); ++d)
      if (fresh[d]) call.defines.push_back(lowering.shape(node.outputs[i])[d].symbol_name());
  }
  call.tactic = std::string(kCustomTactic) + operator_name(op.domain, op.name);
  call.buffers[0] = lowering.weight(std::make_shared<const std::vector<std::byte>>(encode_operator(op)));
  call.kernel = lowering.kernel("custom", {}, [](Emitter& e) {
    e.fault_if(e.b.getTrue(), LATHE_FAULT_VALUE);
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
