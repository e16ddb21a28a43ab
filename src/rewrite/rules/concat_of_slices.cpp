// SPDX-License-Identifier: Apache-2.0
// x → Slice, Slice, … → Concat in the order of x, without gaps      becomes      x
#include "ops/concat.h"
#include "ops/slice.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto* concat = g.node(n).as<ops::Concat>();
  ValueId x = kNoId;
  int64_t at = 0;
  for (const ValueId v : g.node(n).inputs) {
    if (!made_by<ops::Slice>(g, v)) return false;
    const auto range = slice_range(g, g.value(v).producer);
    if (!range || range->axis != concat->axis || range->begin != at || (x != kNoId && source(g, v) != x)) return false;
    x = source(g, v);
    at = range->end;
  }
  if (x == kNoId || !g.value(x).shape[static_cast<size_t>(concat->axis)].equals(at)) return false;
  replace_node(g, n, x);
  return true;
}

}  // namespace

const Rule& rule_concat_of_slices() {
  static const Rule rule{"concat_of_slices", Exactness::kExact, "Concat", apply};
  return rule;
}

}  // namespace lathe::rewrite
