// SPDX-License-Identifier: Apache-2.0
#include "ops/read_sizes.h"

#include "codegen/lower/lower.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

Status lower_read_sizes(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const std::vector<std::string>& symbols = node.as<ops::ReadSizes>()->symbols;
  lowering.alias(out, in);
  Call call;
  call.buffers = {lowering.buffer(in)};
  call.defines = symbols;
  call.kernel = lowering.kernel("sizes", {}, [&](Emitter& e) {
    for (size_t i = 0; i < symbols.size(); ++i) {
      Val v = e.load(DType::kI64, e.at(e.buf(0), static_cast<int64_t>(8 * i)));
      e.fault_if(e.b.CreateICmpUGT(v, e.i64(int64_t{1} << 40)), LATHE_FAULT_VALUE);
      e.b.CreateStore(v, e.symbol_slot(static_cast<int>(i)));
    }
    e.ret();
  });
  call.tactic = "sizes";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
