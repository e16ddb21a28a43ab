// SPDX-License-Identifier: Apache-2.0
// Attention(q, Transpose(k), v){k_transposed}      becomes      Attention(q, k', v)
// with k' the transpose that is left, often none.
#include "ops/attention.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto* attention = g.node(n).as<ops::Attention>();
  auto inputs = g.node(n).inputs;
  if (!attention->k_transposed || !made_by<ops::Transpose>(g, inputs[1])) return false;
  auto op = std::make_shared<ops::Attention>(*attention);
  op->k_transposed = false;
  LATHE_TRY(inputs[1], transpose(g, inputs[1], {0, 1, 3, 2}, g.node(n).name));
  LATHE_TRY(const ValueId y, g.add(op, inputs, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_attention_key_transposed() {
  static const Rule rule{"attention_key_transposed", Exactness::kExact, "Attention", apply};
  return rule;
}

}  // namespace lathe::rewrite
