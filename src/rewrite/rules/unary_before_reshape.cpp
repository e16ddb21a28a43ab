// SPDX-License-Identifier: Apache-2.0
// y = MatMul(…) → Reshape → Relu      becomes      y → Relu → Reshape
// for any elementwise operator of one input that is not a constant scalar, so that it meets the operator it can fuse
// with.
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/reshape.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const Node& node = g.node(n);
  if (!node.as<ops::Elementwise>() || node.outputs.size() != 1) return false;
  std::optional<size_t> slot;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    if (v == kNoId || (g.value(v).constant && g.value(v).constant->count() == 1 && g.value(v).shape.size() <= 1))
      continue;
    if (slot) return false;
    slot = i;
  }
  if (!slot) return false;
  const ValueId x = node.inputs[*slot], out = node.outputs[0];
  if (!made_by<ops::Reshape>(g, x) || sole_user(g, x) != n || !(g.value(x).shape == g.value(out).shape)) return false;
  const ValueId origin = source(g, x);
  const NodeId producer = g.value(origin).producer;
  if (producer == kNoId || sole_user(g, origin) != g.value(x).producer || g.value(origin).shape.empty()) return false;
  const Node& maker = g.node(producer);
  if (!maker.as<ops::Conv>() && !maker.as<ops::MatMul>() && !maker.as<ops::LayerNorm>() &&
      !maker.as<ops::Elementwise>())
    return false;
  const ValueId to = g.node(g.value(x).producer).inputs[1];
  const auto reshape_op = g.node(g.value(x).producer).op;
  auto inputs = node.inputs;
  inputs[*slot] = origin;
  const std::string name = node.name, reshape_name = g.node(g.value(x).producer).name;
  LATHE_TRY(const ValueId y, g.add(node.op, inputs, name));
  LATHE_TRY(const ValueId z, g.add(reshape_op, {y, to}, reshape_name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_unary_before_reshape() {
  static const Rule rule{"unary_before_reshape", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
