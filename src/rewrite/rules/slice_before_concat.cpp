// SPDX-License-Identifier: Apache-2.0
// Concat(a, b){axis 1} → Slice along axis 2      becomes      Concat(Slice(a), Slice(b))
// where all users of the concatenation are such slices that do not overlap: each part is then cut once, often to
// nothing.
#include "ops/concat.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto range = slice_range(g, n);
  const ValueId y = g.node(n).inputs[0];
  const auto* concat = made_by<ops::Concat>(g, y);
  if (!range || !concat || concat->axis == range->axis || g.is_output(y)) return false;
  for (const NodeId u : g.value(y).users) {
    const auto other = slice_range(g, u);
    if (!other || other->axis != range->axis) return false;
    if (u != n && other->begin < range->end && range->begin < other->end) return false;
  }
  const std::string name = g.node(n).name;
  const auto op = g.node(g.value(y).producer).op;
  auto parts = g.node(g.value(y).producer).inputs;
  for (ValueId& v : parts) {
    LATHE_TRY(v, slice(g, v, *range, name));
  }
  LATHE_TRY(const ValueId z, g.add(op, parts, name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_slice_before_concat() {
  static const Rule rule{"slice_before_concat", Exactness::kExact, "Slice", apply};
  return rule;
}

}  // namespace lathe::rewrite
