// SPDX-License-Identifier: Apache-2.0
// x / c      becomes      x * (1 / c)
// for a floating-point constant c without zeros.
#include <cmath>

#include "rewrite/edit.h"
#include "rewrite/pattern.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

Result<bool> apply(Graph& g, NodeId n) {
  ValueId x = kNoId, c = kNoId;
  if (!match(g, n, op("Div", {any(x), constant(c)})) || !dtype_info(g.value(x).dtype).is_float) return false;
  const Tensor& divisor = *g.value(c).constant;
  for (int64_t i = 0; i < divisor.count(); ++i)
    if (divisor.f64_at(i) == 0 || !std::isfinite(1 / divisor.f64_at(i))) return false;

  LATHE_TRY(const ValueId factor, fold(g, "Reciprocal", {c}));
  LATHE_TRY(const ValueId product, g.add(make_op("Mul"), {x, factor}, g.node(n).name));
  replace_node(g, n, product);
  return true;
}

}  // namespace

const Rule& rule_div_to_mul() {
  static const Rule rule{"div_to_mul", Exactness::kReassociates, "Div", apply};
  return rule;
}

}  // namespace lathe::rewrite
