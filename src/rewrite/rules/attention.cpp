// SPDX-License-Identifier: Apache-2.0
// MatMul(Softmax(MatMul(q * a, k * b) * c [+ mask]), v)      becomes      Attention(q, k, v [, mask]){scale=a*b*c}
// each factor optional; k is transposed (trans_b, a Transpose, or stored so). Operands of rank 3 get a batch of 1.
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/softmax.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

struct Operands {
  ValueId q = kNoId, k = kNoId, v = kNoId, mask = kNoId, scores = kNoId;
  double scale = 1;
};

// x of x * c, c one number, where only `user` takes the product; else v itself.
ValueId without_scale(const Graph& g, ValueId v, NodeId user, double& scale) {
  for (;;) {
    ValueId x = kNoId;
    std::optional<double> c;
    const NodeId producer = g.value(v).producer;
    if (producer == kNoId || sole_user(g, v) != user || !match(g, producer, op("Mul", {any(x), number_into(c)})))
      return v;
    if (!(g.value(x).shape == g.value(v).shape)) return v;
    scale *= *c;
    v = x;
    user = producer;
  }
}

// The product of q and k behind an optional scale and an optional mask.
bool find_scores(const Graph& g, ValueId v, NodeId user, Operands& o) {
  auto is_product = [&](ValueId x, NodeId by) {
    double scale = 1;
    const ValueId scores = without_scale(g, x, by, scale);
    const NodeId producer = g.value(scores).producer;
    const bool alone = scores == x ? sole_user(g, scores) == by : sole_user(g, scores) != kNoId;
    if (!made_by<ops::MatMul>(g, scores) || producer == kNoId || !alone) return false;
    o.scores = scores;
    o.scale = scale;
    return true;
  };
  if (is_product(v, user)) return true;
  const NodeId sum = g.value(v).producer;
  if (sum == kNoId || sole_user(g, v) != user || g.node(sum).op->name() != "Add") return false;
  for (const size_t slot : {size_t{0}, size_t{1}}) {
    const ValueId s = g.node(sum).inputs[slot], mask = g.node(sum).inputs[1 - slot];
    if (!(g.value(s).shape == g.value(v).shape) || !is_product(s, sum)) continue;
    o.mask = mask;
    return true;
  }
  return false;
}

Result<bool> apply(Graph& g, NodeId n) {
  const auto* outer = g.node(n).as<ops::MatMul>();
  const ValueId p = g.node(n).inputs[0];
  const auto* softmax = made_by<ops::Softmax>(g, p);
  const size_t rank = g.value(p).shape.size();
  if (!softmax || softmax->log || outer->trans_a || softmax->axis + 1 != static_cast<int64_t>(rank) ||
      sole_user(g, p) != n)
    return false;
  if (rank != 3 && rank != 4) return false;
  Operands o;
  o.v = g.node(n).inputs[1];
  if (!find_scores(g, source(g, p), g.value(p).producer, o)) return false;
  const NodeId scores = g.value(o.scores).producer;
  const auto* inner = g.node(scores).as<ops::MatMul>();
  if (inner->trans_a) return false;
  o.q = without_scale(g, g.node(scores).inputs[0], scores, o.scale);
  o.k = without_scale(g, g.node(scores).inputs[1], scores, o.scale);
  for (const ValueId x : {o.q, o.k, o.v})
    if (const DType t = g.value(x).dtype;  // attention is not generated in f64
        g.value(x).shape.size() != rank || !dtype_info(t).is_float || t == DType::kF64)
      return false;
  for (size_t d = 0; d + 2 < rank; ++d)
    if (!(g.value(o.q).shape[d] == g.value(o.k).shape[d]) || !(g.value(o.q).shape[d] == g.value(o.v).shape[d]))
      return false;
  const Shape result = g.value(g.node(n).outputs[0]).shape;

  const std::string name = g.node(n).name;
  auto attention = std::make_shared<ops::Attention>();
  attention->scale = o.scale;
  Perm swap = {0, 1, 3, 2};
  if (rank == 3) swap = {0, 2, 1};
  if (outer->trans_b) {
    LATHE_TRY(o.v, transpose(g, o.v, swap, name));
  }
  if (!inner->trans_b && made_by<ops::Transpose>(g, o.k)) {
    LATHE_TRY(o.k, transpose(g, o.k, swap, name));
  } else {
    attention->k_transposed = !inner->trans_b;
  }
  if (rank == 3)
    for (ValueId* x : {&o.q, &o.k, &o.v}) {
      Shape lifted = g.value(*x).shape;
      lifted.insert(lifted.begin(), Dim(1));
      if (!can_reshape(g.value(*x).shape, lifted)) return false;
      LATHE_TRY(*x, reshape(g, *x, lifted, name));
    }
  std::vector<ValueId> inputs = {o.q, o.k, o.v};
  if (o.mask != kNoId) inputs.push_back(o.mask);
  LATHE_TRY(ValueId y, g.add(attention, inputs, name));
  if (rank == 3) {
    LATHE_TRY(y, reshape(g, y, result, name));
  }
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_attention() {
  static const Rule rule{"attention", Exactness::kReassociates, "MatMul", apply};
  return rule;
}

}  // namespace lathe::rewrite
