// SPDX-License-Identifier: Apache-2.0
// Conv(x, w [, b]) → Mul(c)      becomes      Conv(x, w * c [, b * c])
// c holds one number a channel: what is left of a batch normalisation. ConvTranspose and MatMul(x, w) likewise.
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/matmul.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

// Which dimension of the weights counts output channels.
std::optional<size_t> channel_axis(const Graph& g, NodeId anchor) {
  const Node& node = g.node(anchor);
  if (!node.epilogue.empty()) return std::nullopt;
  if (node.as<ops::Conv>() || node.as<ops::ConvTranspose>()) return 0;
  const auto* m = node.as<ops::MatMul>();
  if (!m) return std::nullopt;
  const size_t rank = g.value(node.inputs[1]).shape.size();
  return m->trans_b ? rank - 2 : rank - 1;
}

Result<bool> apply(Graph& g, NodeId n) {
  ValueId y = kNoId, c = kNoId;
  if (!match(g, n, op("Mul", {any(y), constant(c)})) || !dtype_info(g.value(y).dtype).is_float) return false;
  if (g.value(y).producer == kNoId || sole_user(g, y) != n) return false;
  const NodeId anchor = g.value(y).producer;
  const auto axis = channel_axis(g, anchor);
  if (!axis || !(g.value(y).shape == g.value(g.node(n).outputs[0]).shape)) return false;
  auto inputs = g.node(anchor).inputs;
  const auto channels = g.value(y).shape.back().as_const();
  if (!channels || !g.value(inputs[1]).constant) return false;
  if (inputs.size() > 2 && inputs[2] != kNoId && !g.value(inputs[2]).constant) return false;
  const auto scale = channel_vector(g, c, *channels, g.value(y).shape.size());
  if (!scale) return false;

  const ValueId factor = g.add_constant({}, *scale);
  if (inputs.size() > 2 && inputs[2] != kNoId) {
    LATHE_TRY(inputs[2], fold(g, "Mul", {inputs[2], factor}));
  }
  std::vector<int64_t> dims(g.value(inputs[1]).shape.size(), 1);
  dims[*axis] = *channels;
  const ValueId along = g.add_constant({}, scale->reshaped(dims));
  LATHE_TRY(inputs[1], fold(g, "Mul", {inputs[1], along}));
  LATHE_TRY(const ValueId scaled, g.add(g.node(anchor).op, inputs, g.node(anchor).name));
  replace_node(g, n, scaled);
  return true;
}

}  // namespace

const Rule& rule_scale_into_weights() {
  static const Rule rule{"scale_into_weights", Exactness::kReassociates, "Mul", apply};
  return rule;
}

}  // namespace lathe::rewrite
