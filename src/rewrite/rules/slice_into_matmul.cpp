// SPDX-License-Identifier: Apache-2.0
// MatMul(x, w) → Slice(columns)      becomes      MatMul(x, w[:, columns])
// for constant w where every use of the product is such a slice and no column is used twice: one projection to queries,
// keys and values becomes three that write where they are read.
#include "ops/matmul.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto range = slice_range(g, n);
  const ValueId y = g.node(n).inputs[0];
  const auto* m = made_by<ops::MatMul>(g, y);
  if (!range || !m || g.is_output(y)) return false;
  const auto last = static_cast<int64_t>(g.value(y).shape.size()) - 1;
  const ValueId w = source(g, y, 1);
  if (range->axis != last || !g.value(w).constant) return false;
  int64_t used = 0;
  for (const NodeId u : g.value(y).users) {
    const auto other = slice_range(g, u);
    if (!other || other->axis != last) return false;
    if (u != n && other->begin < range->end && range->begin < other->end) return false;
    used += other->end - other->begin;
  }
  if (!g.value(y).shape.back().is_const() || used > g.value(y).shape.back().value() || range->begin == range->end)
    return false;

  const auto rank = static_cast<int64_t>(g.value(w).shape.size());
  const Range columns = {m->trans_b ? rank - 2 : rank - 1, range->begin, range->end};
  const NodeId product = g.value(y).producer;
  LATHE_TRY(const ValueId part, slice(g, w, columns, g.node(product).name));
  LATHE_TRY(const ValueId z, g.add(g.node(product).op, {source(g, y, 0), part}, g.node(n).name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_slice_into_matmul() {
  static const Rule rule{"slice_into_matmul", Exactness::kExact, "Slice", apply};
  return rule;
}

}  // namespace lathe::rewrite
