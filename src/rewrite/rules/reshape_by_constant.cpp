// SPDX-License-Identifier: Apache-2.0
// Reshape(x, Concat(Shape(x)[0], 512, 256))      becomes      Reshape(x, [0, 512, 256])
// wherever the sizes, as expressions over symbols, can be said by copying (0) and one remainder (-1): the computation
// of the shape dies.
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const ValueId x = g.node(n).inputs[0], to = g.node(n).inputs[1], y = g.node(n).outputs[0];
  const Shape shape = g.value(y).shape;
  if (g.value(to).constant || !g.value(to).content || !can_reshape(g.value(x).shape, shape)) return false;
  if (!(product(g.value(x).shape) == product(shape))) return false;
  LATHE_TRY(const ValueId direct, reshape(g, x, shape, g.node(n).name));
  replace_node(g, n, direct);
  return true;
}

}  // namespace

const Rule& rule_reshape_by_constant() {
  static const Rule rule{"reshape_by_constant", Exactness::kExact, "Reshape", apply};
  return rule;
}

}  // namespace lathe::rewrite
