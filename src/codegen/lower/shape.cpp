// SPDX-License-Identifier: Apache-2.0
#include "ops/shape.h"

#include "codegen/lower/lower.h"

namespace lathe::codegen {

// Sizes as numbers: where a kernel reads them, not only a shape rule.
Status lower_shape(Lowering& lowering, const Node& node) {
  const ValueId out = node.outputs[0];
  const auto sizes = content_of(lowering.graph.info(out));
  if (!sizes) return fail(Code::kUnsupported, "the sizes are not known when shapes are");
  Call call;
  call.scalars = Lowering::symbolic(std::span<const Dim>(*sizes));
  call.buffers = {lowering.buffer(out)};
  call.kernel = lowering.kernel("shape", call.scalars, [&](Emitter& e) {
    for (size_t i = 0; i < sizes->size(); ++i)
      e.store(DType::kI64, e.dim((*sizes)[i]), e.at(e.buf(0), 8 * static_cast<int64_t>(i)));
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
