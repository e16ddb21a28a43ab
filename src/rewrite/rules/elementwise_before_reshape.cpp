// SPDX-License-Identifier: Apache-2.0
// y = Conv(…) → Reshape → Add(bias) → Relu      becomes      y → Add(bias) → Relu → Reshape
// for elementwise operators all of whose operands are scalars, one number for each element of a last dimension that the
// reshape keeps, or reshapes of values of one shape; so that the work meets the operator it can fuse with.
// One-dimensional convolutions, which are two-dimensional inside, end in such reshapes.
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/elementwise.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/reshape.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

bool takes_work(const Graph& g, ValueId v) {
  const NodeId p = g.value(v).producer;
  if (p == kNoId) return false;
  const Node& n = g.node(p);
  return n.as<ops::Conv>() || n.as<ops::ConvTranspose>() || n.as<ops::MatMul>() || n.as<ops::Pool>() ||
         n.as<ops::LayerNorm>() || n.as<ops::Elementwise>();
}

Result<bool> apply(Graph& g, NodeId n) {
  const Node& node = g.node(n);
  if (!node.as<ops::Elementwise>() || node.outputs.size() != 1) return false;
  const Shape& out = g.value(node.outputs[0]).shape;
  auto inputs = node.inputs;
  std::optional<Shape> origin;
  NodeId reshaper = kNoId;
  bool gains = false;
  for (ValueId& v : inputs) {
    if (v == kNoId || !made_by<ops::Reshape>(g, v) || !(g.value(v).shape == out)) continue;
    const ValueId x = source(g, v);
    if (origin && !(*origin == g.value(x).shape)) return false;
    origin = g.value(x).shape;
    reshaper = g.value(v).producer;
    gains = gains || (sole_user(g, v) == n && sole_user(g, x) == reshaper && takes_work(g, x));
    v = x;
  }
  if (!origin || !gains || origin->empty() || out.empty()) return false;
  std::vector<std::optional<Tensor>> vectors(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId v = inputs[i];
    if (v == kNoId || v != node.inputs[i]) continue;
    const auto& c = g.value(v).constant;
    if (!c || c->dtype() == DType::kString || c->dims().size() > out.size()) return false;
    if (c->count() == 1) {
      vectors[i] = c->reshaped({});
    } else {
      if (!(origin->back() == out.back()) || !out.back().equals(c->count())) return false;
      vectors[i] = channel_vector(g, v, c->count(), out.size());
      if (!vectors[i]) return false;
    }
  }
  const auto op = node.op, reshape_op = g.node(reshaper).op;
  const ValueId to = g.node(reshaper).inputs[1];
  for (size_t i = 0; i < inputs.size(); ++i)
    if (vectors[i]) inputs[i] = g.add_constant({}, *vectors[i]);
  const std::string name = g.node(n).name, reshape_name = g.node(reshaper).name;
  LATHE_TRY(const ValueId y, g.add(op, inputs, name));
  LATHE_TRY(const ValueId z, g.add(reshape_op, {y, to}, reshape_name));
  replace_node(g, n, z);
  return true;
}

}  // namespace

const Rule& rule_elementwise_before_reshape() {
  static const Rule rule{"elementwise_before_reshape", Exactness::kExact, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
