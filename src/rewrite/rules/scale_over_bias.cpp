// SPDX-License-Identifier: Apache-2.0
// MatMul(x, w) → Add(b) → Mul(c)      becomes      MatMul(x, w) → Mul(c) → Add(b * c)
// so that the scale can go into the weights; b, c and w are constants. Conv with padding of its bias likewise.
#include "ops/conv.h"
#include "ops/matmul.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId y = kNoId, b = kNoId, c = kNoId;
  if (!match(g, n, op("Mul", {op("Add", {any(y), constant(b)}), constant(c)}))) return false;
  const NodeId anchor = g.value(y).producer;
  if (anchor == kNoId || !(g.value(y).shape == g.value(g.node(n).outputs[0]).shape)) return false;
  const Node& node = g.node(anchor);
  if (!node.as<ops::MatMul>() && !node.as<ops::Conv>()) return false;
  const auto channels = g.value(y).shape.back().as_const();
  if (!channels || !g.value(node.inputs[1]).constant || !channel_vector(g, c, *channels, g.value(y).shape.size()))
    return false;
  if (elements(g, g.value(b).shape) > static_cast<double>(*channels)) return false;

  const std::string name = g.node(n).name;
  LATHE_TRY(const ValueId bias, fold(g, "Mul", {b, c}));
  LATHE_TRY(const ValueId scaled, g.add(make_op("Mul"), {y, c}, name));
  LATHE_TRY(const ValueId sum, g.add(make_op("Add"), {scaled, bias}, name));
  replace_node(g, n, sum);
  return true;
}

}  // namespace

const Rule& rule_scale_over_bias() {
  static const Rule rule{"scale_over_bias", Exactness::kReassociates, "Mul", apply};
  return rule;
}

}  // namespace lathe::rewrite
