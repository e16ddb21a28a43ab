// SPDX-License-Identifier: Apache-2.0
// MatMul(Transpose(a), b), the transpose exchanging the last two dimensions      becomes      MatMul(a, b){trans_a}
// b likewise. Constants stay as they are.
#include <utility>

#include "ops/matmul.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

bool swaps_last(Perm perm) {
  if (perm.size() < 2) return false;
  std::swap(perm[perm.size() - 2], perm[perm.size() - 1]);
  return is_identity(perm);
}

Result<bool> apply(Graph& g, NodeId n) {
  const auto* m = g.node(n).as<ops::MatMul>();
  for (const size_t slot : {size_t{0}, size_t{1}}) {
    const ValueId x = g.node(n).inputs[slot];
    const auto* t = made_by<ops::Transpose>(g, x);
    if (!t || !swaps_last(t->perm)) continue;
    auto op = std::make_shared<ops::MatMul>(*m);
    (slot == 0 ? op->trans_a : op->trans_b) ^= true;
    auto inputs = g.node(n).inputs;
    inputs[slot] = source(g, x);
    LATHE_TRY(const ValueId y, g.add(op, inputs, g.node(n).name));
    replace_node(g, n, y);
    return true;
  }
  return false;
}

}  // namespace

const Rule& rule_transpose_into_matmul() {
  static const Rule rule{"transpose_into_matmul", Exactness::kExact, "MatMul", apply};
  return rule;
}

}  // namespace lathe::rewrite
