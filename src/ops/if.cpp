// SPDX-License-Identifier: Apache-2.0
#include "ops/if.h"

#include "ops/_data.h"
#include "ops/_subgraph.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> If::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, inputs.empty() ? 1 : inputs.size(), SIZE_MAX));
  if (!then_graph || !else_graph) return fail(Code::kUsage, "lacks a graph for one of its branches");
  const ValueInfo& condition = inputs[0];
  if (condition.dtype != DType::kBool || !product(condition.shape).equals(1))
    return fail(Code::kUsage, "the condition must be one bool, not " + type_text(condition.dtype, condition.shape));
  const Graph* const graphs[] = {then_graph.get(), else_graph.get()};
  Around around[2];
  for (size_t b = 0; b < 2; ++b) {
    if (graphs[b]->inputs.size() + 1 != inputs.size())
      return fail(Code::kUsage, "a branch takes another number of values than it is given");
    for (size_t i = 1; i < inputs.size(); ++i)
      LATHE_CHECK(around[b].bind(*graphs[b], graphs[b]->inputs[i - 1], inputs[i]));
  }
  if (graphs[0]->outputs.size() != graphs[1]->outputs.size())
    return fail(Code::kUsage, "the branches have different numbers of outputs");
  std::vector<ValueInfo> out;
  for (size_t i = 0; i < graphs[0]->outputs.size(); ++i) {
    const ValueInfo a = graphs[0]->info(graphs[0]->outputs[i]), b = graphs[1]->info(graphs[1]->outputs[i]);
    if (a.dtype != b.dtype || a.shape.size() != b.shape.size())
      return fail(a.dtype != b.dtype ? Code::kUsage : Code::kUnsupported,
                  "output " + std::to_string(i) + " is " + type_text(a.dtype, a.shape) + " in one branch and " +
                      type_text(b.dtype, b.shape) + " in the other");
    Shape shape;
    for (size_t d = 0; d < a.shape.size(); ++d) {
      const auto x = around[0].outside(a.shape[d]), y = around[1].outside(b.shape[d]);
      shape.push_back(x && y && *x == *y ? *x : fresh("if"));
    }
    out.push_back({a.dtype, std::move(shape), nullptr, {}});
  }
  return out;
}

Result<std::vector<Tensor>> If::evaluate(std::span<const Tensor> inputs) const {
  return evaluate_subgraph(inputs[0].i64_at(0) != 0 ? *then_graph : *else_graph, inputs.subspan(1));
}

bool If::pure() const { return then_graph && else_graph && all_pure(*then_graph) && all_pure(*else_graph); }

const OpInfo& op_if() { return op_info<If>(); }

}  // namespace lathe::ops
