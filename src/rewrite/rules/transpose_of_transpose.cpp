// SPDX-License-Identifier: Apache-2.0
// Transpose(p) → Transpose(q)      becomes      Transpose(q after p)
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const ValueId x = g.node(n).inputs[0];
  if (!made_by<ops::Transpose>(g, x)) return false;
  LATHE_TRY(const ValueId joined, transpose(g, x, g.node(n).as<ops::Transpose>()->perm, g.node(n).name));
  replace_node(g, n, joined);
  return true;
}

}  // namespace

const Rule& rule_transpose_of_transpose() {
  static const Rule rule{"transpose_of_transpose", Exactness::kExact, "Transpose", apply};
  return rule;
}

}  // namespace lathe::rewrite
