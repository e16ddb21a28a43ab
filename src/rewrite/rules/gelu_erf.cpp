// SPDX-License-Identifier: Apache-2.0
// x * 0.5 * (1 + Erf(x / sqrt(2))), multiplied in any order      becomes      Gelu(x)
// How exporters write Gelu before opset 20.
#include <numbers>

#include "ops/gelu.h"
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId;
  const auto phi = op("Add", {op("Erf", {op("Mul", {any(x), number(1 / std::numbers::sqrt2)})}), number(1)});
  const auto product =
      either({op("Mul", {op("Mul", {any(x), number(0.5)}), phi}), op("Mul", {op("Mul", {any(x), phi}), number(0.5)}),
              op("Mul", {any(x), op("Mul", {phi, number(0.5)})})});
  if (!match(g, n, product)) return false;
  LATHE_TRY(const ValueId y, g.add(std::make_shared<ops::Gelu>(), {x}, g.node(n).name));
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_gelu_erf() {
  static const Rule rule{"gelu_erf", Exactness::kReassociates, "Mul", apply};
  return rule;
}

}  // namespace lathe::rewrite
