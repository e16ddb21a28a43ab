// SPDX-License-Identifier: Apache-2.0
#include "ops/tree_ensemble.h"

#include <algorithm>

#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_tree_ensemble(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::TreeEnsemble>();
  const Shape& x = lowering.shape(node.inputs[0]);
  const auto length = [&](size_t i) { return lowering.shape(node.inputs[i])[0]; };
  static constexpr std::string_view kAggregates[] = {"sum", "average", "min", "max"};
  const auto aggregate = std::ranges::find(kAggregates, op.aggregate) - std::begin(kAggregates);
  Call call;
  call.scalars = Lowering::symbolic({x[1]});
  for (const ValueId v : node.inputs) call.buffers.push_back(lowering.buffer(v));
  call.buffers.push_back(lowering.buffer(node.outputs[0]));
  call.tasks = x[0];
  const Dim f64 = lowering.dtype(node.inputs[0]) == DType::kF64 ? 1 : 0;
  call.kernel = lowering.longtail_kernel(
      "lathe_tree_ensemble", call.scalars,
      {f64, x[1], length(1), length(3), length(4) - 1, length(5), op.targets, static_cast<int64_t>(aggregate)});
  call.tactic = "walk";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
