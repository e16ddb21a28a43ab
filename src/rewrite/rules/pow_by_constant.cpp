// SPDX-License-Identifier: Apache-2.0
// x ^ 2 → x * x      x ^ 3 → x * x * x      x ^ 0.5 → Sqrt(x)      x ^ 1 → x      x ^ -1 → Reciprocal(x)
#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId;
  std::optional<double> exponent;
  if (!match(g, n, op("Pow", {any(x), number_into(exponent)})) || !dtype_info(g.value(x).dtype).is_float) return false;
  if (!(g.value(x).shape == g.value(g.node(n).outputs[0]).shape)) return false;
  const std::string name = g.node(n).name;
  ValueId y = x;
  if (*exponent == 2 || *exponent == 3) {
    LATHE_TRY(y, g.add(make_op("Mul"), {x, x}, name));
    if (*exponent == 3) {
      LATHE_TRY(y, g.add(make_op("Mul"), {y, x}, name));
    }
  } else if (*exponent == 0.5 || *exponent == -1) {
    LATHE_TRY(y, g.add(make_op(*exponent == 0.5 ? "Sqrt" : "Reciprocal"), {x}, name));
  } else if (*exponent != 1) {
    return false;
  }
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_pow_by_constant() {
  static const Rule rule{"pow_by_constant", Exactness::kReassociates, "Pow", apply};
  return rule;
}

}  // namespace lathe::rewrite
