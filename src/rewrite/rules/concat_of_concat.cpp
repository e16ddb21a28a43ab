// SPDX-License-Identifier: Apache-2.0
// Concat(a, Concat(b, c), d)      becomes      Concat(a, b, c, d)
// along one axis, where nobody else uses the inner one.
#include "ops/concat.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto* concat = g.node(n).as<ops::Concat>();
  std::vector<ValueId> flat;
  for (const ValueId v : g.node(n).inputs) {
    const auto* inner = made_by<ops::Concat>(g, v);
    if (!inner || inner->axis != concat->axis || sole_user(g, v) != n) {
      flat.push_back(v);
      continue;
    }
    const auto& more = g.node(g.value(v).producer).inputs;
    flat.insert(flat.end(), more.begin(), more.end());
  }
  if (flat.size() <= g.node(n).inputs.size()) return false;
  LATHE_TRY(const ValueId y, g.add(g.node(n).op, flat, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_concat_of_concat() {
  static const Rule rule{"concat_of_concat", Exactness::kExact, "Concat", apply};
  return rule;
}

}  // namespace lathe::rewrite
