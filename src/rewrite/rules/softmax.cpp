// SPDX-License-Identifier: Apache-2.0
// e = Exp(x - Max(x))
// e / Sum(e)      becomes      Softmax(x)
#include "ops/softmax.h"
#include "ops/reduce.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId;
  NodeId top = kNoId, sum = kNoId;
  const auto e = op("Exp", {op("Sub", {any(x), op("Reduce", {any(x)}, top)})});
  if (!match(g, n, op("Div", {e, op("Reduce", {e}, sum)}))) return false;
  const auto *m = g.node(top).as<ops::Reduce>(), *s = g.node(sum).as<ops::Reduce>();
  if (m->kind != "max" || s->kind != "sum" || !m->keepdims || !s->keepdims || m->axes != s->axes || m->axes.size() != 1)
    return false;

  auto softmax = std::make_shared<ops::Softmax>();
  softmax->axis = m->axes[0];
  LATHE_TRY(const ValueId y, g.add(softmax, {x}, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_softmax() {
  static const Rule rule{"softmax", Exactness::kReassociates, "Div", apply};
  return rule;
}

}  // namespace lathe::rewrite
