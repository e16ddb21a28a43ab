// SPDX-License-Identifier: Apache-2.0
// x * 0.5 * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), multiplied in any order      becomes
// Gelu(x){approximate="tanh"}
#include <numbers>

#include "ops/gelu.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId;
  const auto cube = either({op("Mul", {op("Mul", {any(x), any(x)}), any(x)}), op("Pow", {any(x), number(3)})});
  const auto inner = op("Mul", {op("Add", {any(x), op("Mul", {cube, number(0.044715)})}),
                                number(std::numbers::sqrt2 * std::numbers::inv_sqrtpi)});
  const auto phi = op("Add", {op("Tanh", {inner}), number(1)});
  const auto product =
      either({op("Mul", {op("Mul", {any(x), number(0.5)}), phi}), op("Mul", {op("Mul", {any(x), phi}), number(0.5)}),
              op("Mul", {any(x), op("Mul", {phi, number(0.5)})})});
  if (!match(g, n, product)) return false;
  auto gelu = std::make_shared<ops::Gelu>();
  gelu->approximate = "tanh";
  LATHE_TRY(const ValueId y, g.add(gelu, {x}, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_gelu_tanh() {
  static const Rule rule{"gelu_tanh", Exactness::kReassociates, "Mul", apply};
  return rule;
}

}  // namespace lathe::rewrite
