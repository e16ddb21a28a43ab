// SPDX-License-Identifier: Apache-2.0
// Add(x, c) → Slice      becomes      Add(Slice(x), Slice(c))
// for any elementwise operator all of whose users are slices, so that the slice meets what made x.
#include "ops/elementwise.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto range = slice_range(g, n);
  const ValueId y = g.node(n).inputs[0];
  const NodeId producer = g.value(y).producer;
  if (!range || producer == kNoId || g.is_output(y)) return false;
  const Node& node = g.node(producer);
  if (!node.as<ops::Elementwise>() || !node.epilogue.empty() || node.outputs.size() != 1) return false;
  for (const NodeId u : g.value(y).users) {
    const auto other = slice_range(g, u);
    if (!other || other->axis != range->axis) return false;
  }
  const size_t rank = g.value(y).shape.size();
  const auto axis = static_cast<size_t>(range->axis);
  auto inputs = node.inputs;
  size_t whole = 0;  // operands that are data and not broadcast
  for (const ValueId v : inputs) {
    if (v == kNoId) continue;
    const Shape& s = g.value(v).shape;
    if (s.size() + axis >= rank && !s[s.size() + axis - rank].equals(1) &&
        !(s[s.size() + axis - rank] == g.value(y).shape[axis]))
      return false;
    whole += !g.value(v).constant;
  }
  if (whole != 1) return false;
  const auto op = node.op;
  const std::string name = node.name;
  for (ValueId& v : inputs) {
    if (v == kNoId) continue;
    const Shape& s = g.value(v).shape;
    if (s.size() + axis < rank || s[s.size() + axis - rank].equals(1)) continue;
    const Range part = {static_cast<int64_t>(s.size() + axis - rank), range->begin, range->end};
    LATHE_TRY(v, slice(g, v, part, g.node(n).name));
  }
  LATHE_TRY(const ValueId z, g.add(op, inputs, name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_slice_before_elementwise() {
  static const Rule rule{"slice_before_elementwise", Exactness::kExact, "Slice", apply};
  return rule;
}

}  // namespace lathe::rewrite
