// SPDX-License-Identifier: Apache-2.0
// x[N,H,W,C] → Transpose → Reshape[N,C*H*W] → MatMul(w)      becomes      x → Reshape[N,H*W*C] → MatMul(rows of w
// permuted) for constant w: the classifier behind a convolution that was flattened in NCHW order.
#include "ops/matmul.h"
#include "ops/reshape.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  const auto* m = g.node(n).as<ops::MatMul>();
  const ValueId flat = g.node(n).inputs[0], w = g.node(n).inputs[1];
  if (m->trans_a || !g.value(w).constant || g.value(w).shape.size() != 2) return false;
  if (!made_by<ops::Reshape>(g, flat) || sole_user(g, flat) != n) return false;
  const ValueId moved = source(g, flat);
  const auto* t = made_by<ops::Transpose>(g, moved);
  if (!t || sole_user(g, moved) != g.value(flat).producer || t->perm[0] != 0) return false;
  const Shape inner(g.value(moved).shape.begin() + 1, g.value(moved).shape.end());
  const auto dims = static_dims(inner);
  const Shape& out = g.value(flat).shape;
  if (!dims || out.size() != 2 || !(out[0] == g.value(moved).shape[0]) || !(out[1] == product(inner))) return false;
  const ValueId x = source(g, moved);
  if (!can_reshape(g.value(x).shape, out)) return false;

  // Rows of w are numbered by the transposed dimensions; bring them into the order of x.
  Perm rows;
  for (const int64_t p : inverse(t->perm))
    if (p != 0) rows.push_back(p - 1);
  std::vector<int64_t> split = *dims;
  Perm all = rows;
  const int64_t columns = g.value(w).constant->dims()[m->trans_b ? 0 : 1];
  if (m->trans_b) {
    split.insert(split.begin(), columns);
    for (int64_t& p : all) ++p;
    all.insert(all.begin(), 0);
  } else {
    split.push_back(columns);
    all.push_back(static_cast<int64_t>(dims->size()));
  }
  ops::Transpose permute;
  permute.perm = all;
  const Tensor parts = g.value(w).constant->reshaped(split);
  LATHE_TRY(const auto permuted, permute.evaluate(std::span(&parts, 1)));
  const std::string name = g.node(n).name;
  const Shape shape = out;
  const ValueId weights = g.add_constant({}, permuted[0].reshaped(*static_dims(g.value(w).shape)));
  LATHE_TRY(const ValueId rowsx, reshape(g, x, shape, name));
  LATHE_TRY(const ValueId y, g.add(g.node(n).op, {rowsx, weights}, name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_transpose_into_flat_matmul() {
  static const Rule rule{"transpose_into_flat_matmul", Exactness::kReassociates, "MatMul", apply};
  return rule;
}

}  // namespace lathe::rewrite
