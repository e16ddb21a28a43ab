// SPDX-License-Identifier: Apache-2.0
// Conv(x, w [, b]) → Add(c)      becomes      Conv(x, w, b + c)
// c holds one number a channel. ConvTranspose likewise.
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId y = kNoId, c = kNoId;
  if (!match(g, n, op("Add", {any(y), constant(c)}))) return false;
  if (!made_by<ops::Conv>(g, y) && !made_by<ops::ConvTranspose>(g, y)) return false;
  const ValueId out = g.node(n).outputs[0];
  if (sole_user(g, y) != n || !(g.value(y).shape == g.value(out).shape)) return false;
  const auto channels = g.value(y).shape.back().as_const();
  if (!channels) return false;
  const auto bias = channel_vector(g, c, *channels, g.value(y).shape.size());
  if (!bias) return false;

  const NodeId conv = g.value(y).producer;
  auto inputs = g.node(conv).inputs;
  inputs.resize(3, kNoId);
  ValueId sum = g.add_constant({}, *bias);
  if (inputs[2] != kNoId) {
    if (!g.value(inputs[2]).constant) return false;
    LATHE_TRY(sum, fold(g, "Add", {inputs[2], sum}));
  }
  inputs[2] = sum;
  LATHE_TRY(const ValueId with_bias, g.add(g.node(conv).op, inputs, g.node(conv).name));
  replace_node(g, n, with_bias);
  return true;
}

}  // namespace

const Rule& rule_bias_into_conv() {
  static const Rule rule{"bias_into_conv", Exactness::kReassociates, "Add", apply};
  return rule;
}

}  // namespace lathe::rewrite
