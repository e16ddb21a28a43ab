// SPDX-License-Identifier: Apache-2.0
// Transpose by the identity, Reshape or Expand to x's own shape, Slice of everything, Pad by nothing, Concat of x alone
// → x
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const Node& node = g.node(n);
  const std::string_view name = node.op->name();
  if (node.outputs.size() != 1 || node.inputs.empty() || node.inputs[0] == kNoId) return false;
  const ValueId x = node.inputs[0], out = node.outputs[0];
  if (!(g.value(x).shape == g.value(out).shape)) return false;
  bool same = name == "Reshape" || name == "Expand" || (name == "Concat" && node.inputs.size() == 1);
  if (const auto* t = node.as<ops::Transpose>()) same = is_identity(t->perm);
  // Of equal shape a slice by steps of 1 starts at 0, and a pad without cropping adds nothing.
  if (name == "Slice")
    same = node.inputs.size() < 5 || node.inputs[4] == kNoId || uniform_value(g, node.inputs[4]) == std::optional(1.0);
  if (name == "Pad") same = uniform_value(g, node.inputs[1]) == std::optional(0.0);
  if (!same) return false;
  replace_node(g, n, x);
  return true;
}

}  // namespace

const Rule& rule_identity_movement() {
  static const Rule rule{"identity_movement", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
