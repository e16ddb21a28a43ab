// SPDX-License-Identifier: Apache-2.0
// x[…,3*64] → Reshape[…,3,64] → Slice of the 3      becomes      x → Slice of the 3*64 → Reshape
// where the sliced dimension is the outermost of those that one dimension of x was split into.
#include "ops/reshape.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto range = slice_range(g, n);
  const ValueId y = g.node(n).inputs[0], out = g.node(n).outputs[0];
  if (!range || !made_by<ops::Reshape>(g, y)) return false;
  const ValueId x = source(g, y);
  const auto groups = reshape_groups(g.value(x).shape, g.value(y).shape);
  if (!groups) return false;
  const auto axis = static_cast<size_t>(range->axis);
  for (const ReshapeGroup& group : *groups) {
    if (group.from.size() != 1 || group.to.front() != axis) continue;
    Dim inner = 1;
    for (const size_t d : group.to)
      if (d != axis) inner = inner * g.value(y).shape[d];
    if (!inner.is_const() || !can_reshape(g.value(x).shape, g.value(out).shape)) return false;
    const Range whole = {static_cast<int64_t>(group.from[0]), range->begin * inner.value(), range->end * inner.value()};
    const Shape shape = g.value(out).shape;
    const std::string name = g.node(n).name;
    LATHE_TRY(const ValueId part, slice(g, x, whole, name));
    LATHE_TRY(const ValueId z, reshape(g, part, shape, name));
    replace_node(g, n, z);
    return true;
  }
  return false;
}

}  // namespace

const Rule& rule_slice_before_reshape() {
  static const Rule rule{"slice_before_reshape", Exactness::kExact, "Slice", apply};
  return rule;
}

}  // namespace lathe::rewrite
