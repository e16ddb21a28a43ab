// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace lathe {

/// Runs `graph` by the reference evaluation of its operators, epilogues included: the oracle of tests. `inputs` by
/// name; the outputs come in the order of graph.outputs. Slow; errors name the node.
Result<std::vector<Tensor>> evaluate_graph(const Graph& graph, const std::map<std::string, Tensor>& inputs);

/// The same with the inputs in the order of graph.inputs: how an operator evaluates a graph that it holds.
Result<std::vector<Tensor>> evaluate_subgraph(const Graph& graph, std::span<const Tensor> inputs);

/// One node on its inputs (absent ones empty): its operator, then its epilogue.
Result<std::vector<Tensor>> evaluate_node(const Node& node, std::span<const Tensor> inputs);

}  // namespace lathe
