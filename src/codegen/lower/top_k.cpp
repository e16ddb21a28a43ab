// SPDX-License-Identifier: Apache-2.0
#include "ops/top_k.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_top_k(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::TopK>();
  const ValueId in = node.inputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(node.outputs[0]);
  const DType type = lowering.dtype(in);
  if (!Numeric::supports(type) || type == DType::kF16 || type == DType::kBF16)
    return fail(Code::kUnsupported, "the largest of " + std::string(dtype_name(type)) + " are not generated yet");
  const auto axis = static_cast<size_t>(op.axis);
  const Dim outer = product(Shape(x.begin(), x.begin() + op.axis)),
            inner = product(Shape(x.begin() + op.axis + 1, x.end()));
  const Dim &n = x[axis], &k = y[axis];
  if (fresh_dims(lowering, node)[axis])
    LATHE_CHECK(lower_sizes(lowering, node,
                            {"lathe_count_size",
                             {lowering.buffer(node.inputs[1])},
                             {static_cast<int64_t>(lowering.dtype(node.inputs[1])), n},
                             {},
                             {k.symbol_name()}}));
  Call call;
  call.scalars = Lowering::symbolic({n, k, inner});
  call.buffers = {lowering.buffer(in), lowering.buffer(node.outputs[0]),
                  lowering.buffer(node.outputs.size() > 1 ? node.outputs[1] : kNoId)};
  const int64_t work = lowering.typical(product(x));
  call.tasks = outer * inner;
  call.scratch_bytes = k * Dim(16);
  call.kernel = lowering.longtail_kernel("lathe_top_k", call.scalars,
                                         {static_cast<int64_t>(type), n, k, inner, op.largest ? 1 : 0});
  call.tactic = "heap";
  call.flops = static_cast<double>(work);
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
