// SPDX-License-Identifier: Apache-2.0
// Expand(x) → Add(y)      becomes      Add(x, y)
// for elementwise users whose other operands already have the expanded shape.
#include "ops/elementwise.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const ValueId x = g.node(n).inputs[0], wide = g.node(n).outputs[0];
  if (g.is_output(wide)) return false;
  for (const NodeId u : g.value(wide).users) {
    const Node& user = g.node(u);
    if (!user.as<ops::Elementwise>() || user.outputs.size() != 1) return false;
    auto infos = g.infos(user.inputs);
    for (size_t i = 0; i < infos.size(); ++i)
      if (user.inputs[i] == wide) infos[i] = g.info(x);
    const auto shape = ops::broadcast(infos);
    if (!shape || !(*shape == g.value(user.outputs[0]).shape)) return false;
  }
  g.replace_uses(wide, x);
  g.remove_node(n);
  return true;
}

}  // namespace

const Rule& rule_expand_into_elementwise() {
  static const Rule rule{"expand_into_elementwise", Exactness::kExact, "Expand", apply};
  return rule;
}

}  // namespace lathe::rewrite
