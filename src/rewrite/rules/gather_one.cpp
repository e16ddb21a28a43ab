// SPDX-License-Identifier: Apache-2.0
// Gather(x, i) for one constant index      becomes      Slice(x, i, i + 1) → Reshape
// which moves towards x, or costs nothing.
#include "ops/gather.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto* gather = g.node(n).as<ops::Gather>();
  const ValueId x = g.node(n).inputs[0], indices = g.node(n).inputs[1], y = g.node(n).outputs[0];
  const auto& c = g.value(indices).constant;
  const auto size = g.value(x).shape[static_cast<size_t>(gather->axis)].as_const();
  if (!c || c->count() != 1 || !size || g.value(x).dtype == DType::kString) return false;
  const int64_t at = c->i64_at(0) < 0 ? c->i64_at(0) + *size : c->i64_at(0);
  Shape cut = g.value(x).shape;
  cut[static_cast<size_t>(gather->axis)] = 1;
  const Shape shape = g.value(y).shape;
  if (at < 0 || at >= *size || !can_reshape(cut, shape)) return false;
  const Range range = {gather->axis, at, at + 1};
  const std::string name = g.node(n).name;
  LATHE_TRY(const ValueId part, slice(g, x, range, name));
  LATHE_TRY(const ValueId z, reshape(g, part, shape, name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_gather_one() {
  static const Rule rule{"gather_one", Exactness::kExact, "Gather", apply};
  return rule;
}

}  // namespace lathe::rewrite
