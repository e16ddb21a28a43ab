// SPDX-License-Identifier: Apache-2.0
// Concat(a, b, …) → Slice of exactly one of them      becomes      that one
#include "ops/concat.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto range = slice_range(g, n);
  const ValueId y = g.node(n).inputs[0];
  const auto* concat = made_by<ops::Concat>(g, y);
  if (!range || !concat || concat->axis != range->axis) return false;
  int64_t at = 0;
  for (const ValueId v : g.node(g.value(y).producer).inputs) {
    const auto size = g.value(v).shape[static_cast<size_t>(concat->axis)].as_const();
    if (!size) return false;
    if (at == range->begin && at + *size == range->end) {
      replace_node(g, n, v);
      return true;
    }
    at += *size;
  }
  return false;
}

}  // namespace

const Rule& rule_slice_of_concat() {
  static const Rule rule{"slice_of_concat", Exactness::kExact, "Slice", apply};
  return rule;
}

}  // namespace lathe::rewrite
