// SPDX-License-Identifier: Apache-2.0
// Reshape → Reshape(s)      becomes      Reshape(s)
#include "ops/reshape.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const ValueId x = g.node(n).inputs[0];
  if (!made_by<ops::Reshape>(g, x)) return false;
  const ValueId origin = source(g, x);
  const Shape shape = g.value(g.node(n).outputs[0]).shape;
  if (!can_reshape(g.value(origin).shape, shape)) return false;
  LATHE_TRY(const ValueId direct, reshape(g, origin, shape, g.node(n).name));
  replace_node(g, n, direct);
  return true;
}

}  // namespace

const Rule& rule_reshape_of_reshape() {
  static const Rule rule{"reshape_of_reshape", Exactness::kExact, "Reshape", apply};
  return rule;
}

}  // namespace lathe::rewrite
