// SPDX-License-Identifier: Apache-2.0
#include "ops/grid_sample.h"

#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_grid_sample(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::GridSample>();
  const ValueId in = node.inputs[0], grid = node.inputs[1], out = node.outputs[0];
  const DType type = lowering.dtype(in);
  if ((type != DType::kF32 && type != DType::kF64) || lowering.dtype(grid) != type)
    return fail(Code::kUnsupported, "sampling of " + std::string(dtype_name(type)) + " at places of type " +
                                        std::string(dtype_name(lowering.dtype(grid))) + " is not generated yet");
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  const std::vector<Dim> spatial(x.begin() + 2, x.end());
  const Dim places = product(Shape(y.begin() + 2, y.end()));
  const int64_t mode = op.mode == "nearest" ? 0 : op.mode == "linear" ? 1 : 2;
  const int64_t padding = op.padding == "zeros" ? 0 : op.padding == "border" ? 1 : 2;
  const std::vector<Dim> arguments{type == DType::kF64 ? 1 : 0,
                                   static_cast<int64_t>(spatial.size()),
                                   y[1],
                                   places,
                                   mode,
                                   padding,
                                   op.align_corners ? 1 : 0,
                                   op.normalized ? 1 : 0};
  std::vector<Dim> dims = arguments;
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(grid), lowering.buffer(out)};
  call.tasks = y[0] * ceil_div(places, 128);
  call.kernel = table_kernel(lowering, "lathe_grid_sample", call.scalars, arguments, {spatial});
  call.tactic = op.mode;
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
