// SPDX-License-Identifier: Apache-2.0
// Reduce(keepdims) → Reshape to the shape without the reduced dimensions      becomes      Reduce(keepdims=false)
#include <algorithm>

#include "ops/reduce.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const ValueId x = g.node(n).inputs[0];
  const auto* r = made_by<ops::Reduce>(g, x);
  if (!r || !r->keepdims || sole_user(g, x) != n) return false;
  Shape dropped;
  for (size_t d = 0; d < g.value(x).shape.size(); ++d)
    if (std::find(r->axes.begin(), r->axes.end(), static_cast<int64_t>(d)) == r->axes.end())
      dropped.push_back(g.value(x).shape[d]);
  if (!(dropped == g.value(g.node(n).outputs[0]).shape)) return false;
  auto op = std::make_shared<ops::Reduce>(*r);
  op->keepdims = false;
  LATHE_TRY(const ValueId y, g.add(op, {source(g, x)}, g.node(g.value(x).producer).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_reshape_of_reduce() {
  static const Rule rule{"reshape_of_reduce", Exactness::kExact, "Reshape", apply};
  return rule;
}

}  // namespace lathe::rewrite
