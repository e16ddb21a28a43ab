// SPDX-License-Identifier: Apache-2.0
#include "ops/require.h"

#include "codegen/lower/lower.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

Status lower_require(Lowering& lowering, const Node& node) {
  lowering.alias(node.outputs[0], node.inputs[1]);
  const auto& condition = lowering.value(node.inputs[0]).constant;
  if (condition && condition->i64_at(0) != 0) return {};
  Call call;
  call.buffers = {lowering.buffer(node.inputs[0])};
  call.kernel = lowering.kernel("require", {}, [&](Emitter& e) {
    e.fault_if(e.b.CreateNot(e.load(DType::kBool, e.buf(0))), LATHE_FAULT_SHAPE);
    e.ret();
  });
  call.tactic = "check";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
