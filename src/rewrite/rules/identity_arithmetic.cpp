// SPDX-License-Identifier: Apache-2.0
// x + 0 → x      x - 0 → x      x * 1 → x      x / 1 → x      Cast to x's own type → x      Sum, Min, Max, Mean of x
// alone → x where the constant does not widen the shape or change the type.
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const Node& node = g.node(n);
  const std::string_view name = node.op->name();
  if (node.outputs.size() != 1 || node.inputs.empty() || node.inputs[0] == kNoId) return false;
  ValueId x = kNoId;
  const bool add = name == "Add", mul = name == "Mul";
  if (add || mul || name == "Sub" || name == "Div") {
    const double neutral = mul || name == "Div" ? 1 : 0;
    if (uniform_value(g, node.inputs[1]) == std::optional(neutral))
      x = node.inputs[0];
    else if ((add || mul) && uniform_value(g, node.inputs[0]) == std::optional(neutral))
      x = node.inputs[1];
  } else if (name == "Cast" ||
             ((name == "Sum" || name == "Min" || name == "Max" || name == "Mean") && node.inputs.size() == 1)) {
    x = node.inputs[0];
  }
  const ValueId out = node.outputs[0];
  if (x == kNoId || g.value(x).dtype != g.value(out).dtype || !(g.value(x).shape == g.value(out).shape)) return false;
  replace_node(g, n, x);
  return true;
}

}  // namespace

const Rule& rule_identity_arithmetic() {
  static const Rule rule{"identity_arithmetic", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
