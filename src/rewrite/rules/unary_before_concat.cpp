// SPDX-License-Identifier: Apache-2.0
// Concat(Conv(…), Conv(…)) → Sigmoid      becomes      Concat(Sigmoid(Conv(…)), Sigmoid(Conv(…)))
// for elementwise operators whose other operands are scalar constants, where each part comes from an operator (perhaps
// through a reshape) that takes the work into its epilogue.
#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/reshape.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

// Whether `v`, used by `user` alone, is made by an operator that could end in elementwise work.
bool takes_work(const Graph& g, ValueId v, NodeId user) {
  if (sole_user(g, v) != user) return false;
  if (made_by<ops::Reshape>(g, v)) {
    user = g.value(v).producer;
    v = source(g, v);
    if (sole_user(g, v) != user) return false;
  }
  const NodeId p = g.value(v).producer;
  if (p == kNoId) return false;
  const Node& n = g.node(p);
  return n.as<ops::Conv>() || n.as<ops::MatMul>() || n.as<ops::LayerNorm>() || n.as<ops::Elementwise>();
}

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
  const ValueId y = node.inputs[*slot];
  if (!made_by<ops::Concat>(g, y) || sole_user(g, y) != n || !(g.value(y).shape == g.value(node.outputs[0]).shape))
    return false;
  const NodeId concat = g.value(y).producer;
  auto parts = g.node(concat).inputs;
  for (const ValueId v : parts)
    if (!takes_work(g, v, concat)) return false;
  const auto op = node.op;
  auto inputs = node.inputs;
  const std::string name = node.name;
  for (ValueId& v : parts) {
    inputs[*slot] = v;
    LATHE_TRY(v, g.add(op, inputs, name));
  }
  LATHE_TRY(const ValueId z, g.add(g.node(concat).op, parts, g.node(concat).name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_unary_before_concat() {
  static const Rule rule{"unary_before_concat", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
