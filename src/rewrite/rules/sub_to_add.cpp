// SPDX-License-Identifier: Apache-2.0
// x - c      becomes      x + (-c)
// for a constant c of a signed type, so that other rules need to know Add alone.
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId, c = kNoId;
  if (!match(g, n, op("Sub", {any(x), constant(c)})) || !dtype_info(g.value(x).dtype).is_float) return false;

  LATHE_TRY(const ValueId negated, fold(g, "Neg", {c}));
  LATHE_TRY(const ValueId sum, g.add(make_op("Add"), {x, negated}, g.node(n).name));
  replace_node(g, n, sum);
  return true;
}

}  // namespace

const Rule& rule_sub_to_add() {
  static const Rule rule{"sub_to_add", Exactness::kExact, "Sub", apply};
  return rule;
}

}  // namespace lathe::rewrite
