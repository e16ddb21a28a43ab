// SPDX-License-Identifier: Apache-2.0
#include "ir/evaluate.h"

namespace lathe {

Result<std::vector<Tensor>> evaluate_node(const Node& node, std::span<const Tensor> inputs) {
  const auto anchor = static_cast<size_t>(node.anchor_inputs);
  LATHE_TRY(std::vector<Tensor> out, node.op->evaluate(inputs.first(anchor)));
  if (node.epilogue.empty()) return out;
  std::vector<Tensor> operands = {out[0]};
  operands.insert(operands.end(), inputs.begin() + static_cast<std::ptrdiff_t>(anchor), inputs.end());
  LATHE_TRY(out[0], evaluate_program(node.epilogue, operands, out[0].dims()));
  return out;
}

Result<std::vector<Tensor>> evaluate_graph(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::vector<Tensor> ordered;
  for (const ValueId v : graph.inputs) {
    const auto it = inputs.find(graph.value(v).name);
    if (it == inputs.end()) return fail(Code::kUsage, "input \"" + graph.value(v).name + "\" is missing");
    ordered.push_back(it->second);
  }
  return evaluate_subgraph(graph, ordered);
}

Result<std::vector<Tensor>> evaluate_subgraph(const Graph& graph, std::span<const Tensor> inputs) {
  std::vector<Tensor> values(graph.value_count());
  std::vector<size_t> uses(graph.value_count(), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& v = graph.value(static_cast<ValueId>(i));
    uses[i] = v.users.size();
    if (v.constant) values[i] = *v.constant;
  }
  if (inputs.size() != graph.inputs.size()) return fail(Code::kUsage, "another number of inputs than the graph has");
  for (size_t i = 0; i < inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
  for (const ValueId v : graph.outputs) ++uses[static_cast<size_t>(v)];
  for (const NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    std::vector<Tensor> in;
    for (const ValueId v : n.inputs) in.push_back(v == kNoId ? Tensor() : values[static_cast<size_t>(v)]);
    auto out = evaluate_node(n, in);
    if (!out)
      return fail(out.error().code,
                  "[" + std::string(n.op->name()) + "] " + out.error().message + " (node \"" + n.name + "\")");
    for (size_t i = 0; i < n.outputs.size(); ++i) values[static_cast<size_t>(n.outputs[i])] = std::move((*out)[i]);
    for (const ValueId v : n.inputs)
      if (v != kNoId && --uses[static_cast<size_t>(v)] == 0) values[static_cast<size_t>(v)] = Tensor();
  }
  std::vector<Tensor> results;
  for (const ValueId v : graph.outputs) results.push_back(values[static_cast<size_t>(v)]);
  return results;
}

}  // namespace lathe
