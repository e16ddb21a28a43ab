// SPDX-License-Identifier: Apache-2.0
// d = x - Mean(x)
// d / Sqrt(Mean(d * d) + epsilon) [* scale] [+ bias]      becomes      LayerNorm(x [, scale] [, bias])
// means over the last dimension; scale and bias are first left to the rules below, which take them in once the core is
// found:
// LayerNorm(x) * scale → LayerNorm(x, scale)      LayerNorm(x, scale) + bias → LayerNorm(x, scale, bias)
#include "ops/layer_norm.h"
#include "ops/reduce.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

bool mean_of_last(const Graph& g, NodeId n) {
  const auto* r = g.node(n).as<ops::Reduce>();
  const auto rank = static_cast<int64_t>(g.value(g.node(n).inputs[0]).shape.size());
  return r && r->kind == "mean" && r->keepdims && r->axes == std::vector<int64_t>{rank - 1};
}

// d * Reciprocal(Sqrt(…)): the other spelling of the division.
bool match_core_product(const Graph& g, NodeId n) {
  ValueId a = kNoId, b = kNoId;
  return match(g, n, op("Mul", {any(a), op("Reciprocal", {op("Sqrt", {any(b)})})}));
}

Result<bool> core(Graph& g, NodeId n) {
  ValueId x = kNoId;
  NodeId mean = kNoId, variance = kNoId;
  std::optional<double> epsilon;
  const auto d = op("Sub", {any(x), op("Reduce", {any(x)}, mean)});
  const auto square = either({op("Mul", {d, d}), op("Pow", {d, number(2)})});
  const auto deviation = op("Sqrt", {op("Add", {op("Reduce", {square}, variance), number_into(epsilon)})});
  if (!match(g, n, either({op("Div", {d, deviation}), op("Mul", {d, op("Reciprocal", {deviation})})}))) return false;
  if (!mean_of_last(g, mean) || !mean_of_last(g, variance)) return false;

  auto norm = std::make_shared<ops::LayerNorm>();
  norm->axis = static_cast<int64_t>(g.value(x).shape.size()) - 1;
  norm->epsilon = *epsilon;
  LATHE_TRY(const ValueId y, g.add(norm, {x}, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

Result<bool> affine(Graph& g, NodeId n) {
  const bool scales = g.node(n).op->name() == "Mul";
  ValueId y = kNoId, c = kNoId;
  if (!match(g, n, op(scales ? "Mul" : "Add", {any(y), constant(c)}))) return false;
  const auto* norm = made_by<ops::LayerNorm>(g, y);
  if (!norm || sole_user(g, y) != n || norm->axis != static_cast<int64_t>(g.value(y).shape.size()) - 1) return false;
  auto inputs = g.node(g.value(y).producer).inputs;
  inputs.resize(3, kNoId);
  const auto width = g.value(y).shape.back().as_const();
  if (inputs[2] != kNoId || (scales && inputs[1] != kNoId) || !width) return false;
  const auto vector = channel_vector(g, c, *width, g.value(y).shape.size());
  if (!vector) return false;
  inputs[scales ? 1 : 2] = g.add_constant({}, *vector);
  if (inputs[2] == kNoId) inputs.pop_back();
  const NodeId old = g.value(y).producer;
  LATHE_TRY(const ValueId z, g.add(g.node(old).op, inputs, g.node(old).name));
  replace_node(g, n, z);
  return true;
}

Result<bool> apply(Graph& g, NodeId n) {
  const std::string_view name = g.node(n).op->name();
  if (name == "Div" || (name == "Mul" && match_core_product(g, n))) {
    LATHE_TRY(const bool found, core(g, n));
    if (found) return true;
  }
  return name == "Mul" || name == "Add" ? affine(g, n) : Result<bool>(false);
}

}  // namespace

const Rule& rule_layer_norm() {
  static const Rule rule{"layer_norm", Exactness::kReassociates, "", apply};
  return rule;
}

}  // namespace lathe::rewrite
