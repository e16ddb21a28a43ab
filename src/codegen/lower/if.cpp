// SPDX-License-Identifier: Apache-2.0
//     jump if not condition ──┐
//     then …, results         │
//   ┌ jump                    │
//   │ else …, results       ◄─┘
//   └►
#include "ops/if.h"

#include <algorithm>

#include "codegen/control.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {

Status lower_branch(Lowering& lowering, const Node& node, const Graph& graph) {
  Lowering inner(lowering, graph);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    inner.bind(graph.inputs[i], lowering.buffer(node.inputs[i + 1]));
    inner.bind_sizes(graph.inputs[i], lowering, node.inputs[i + 1]);
  }
  // A result that a node of the branch makes in the size that is known outside is made in its place.
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId v = graph.outputs[i], out = node.outputs[i];
    bool in_place = graph.value(v).producer != kNoId && std::ranges::count(graph.outputs, v) == 1;
    for (size_t d = 0; in_place && d < inner.shape(v).size(); ++d)
      in_place = inner.same_size(inner.shape(v)[d], lowering, lowering.shape(out)[d]);
    if (in_place) inner.bind(v, lowering.buffer(out));
  }
  LATHE_CHECK(inner.lower_nodes());
  std::vector<Move> moves;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    LATHE_TRY(moves.emplace_back(),
              move_into(inner, graph.outputs[i], lowering, node.outputs[i], lowering.buffer(node.outputs[i])));
  }
  return lower_moves(inner, node, moves);
}

}  // namespace

Status lower_if(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::If>();
  const int32_t otherwise = lowering.jump_if_false(node, lowering.buffer(node.inputs[0]));
  LATHE_CHECK(lower_branch(lowering, node, *op.then_graph));
  const int32_t done = lowering.jump(node);
  lowering.land(otherwise);
  LATHE_CHECK(lower_branch(lowering, node, *op.else_graph));
  lowering.land(done);
  return {};
}

}  // namespace lathe::codegen
