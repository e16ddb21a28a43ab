// SPDX-License-Identifier: Apache-2.0
// Transpose(0,2,1,3) of q, k and v → Attention → Transpose(0,2,1,3)      becomes      Attention{heads_last}
#include "ops/attention.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

const Perm kSwap = {0, 2, 1, 3};

Result<bool> apply(Graph& g, NodeId n) {
  if (g.node(n).as<ops::Transpose>()->perm != kSwap) return false;
  const ValueId y = g.node(n).inputs[0];
  const auto* attention = made_by<ops::Attention>(g, y);
  if (!attention || attention->heads_last || attention->k_transposed || sole_user(g, y) != n) return false;
  auto inputs = g.node(g.value(y).producer).inputs;
  for (size_t i = 0; i < 3; ++i) {
    const auto* t = made_by<ops::Transpose>(g, inputs[i]);
    if (!t || t->perm != kSwap) return false;
    inputs[i] = source(g, inputs[i]);
  }
  auto op = std::make_shared<ops::Attention>(*attention);
  op->heads_last = true;
  LATHE_TRY(const ValueId z, g.add(op, inputs, g.node(g.value(y).producer).name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_attention_heads_last() {
  static const Rule rule{"attention_heads_last", Exactness::kExact, "Transpose", apply};
  return rule;
}

}  // namespace lathe::rewrite
