// SPDX-License-Identifier: Apache-2.0
#include "ops/gelu.h"

#include <numbers>

namespace lathe::ops {

Expr Gelu::of(Inputs x) const {
  if (approximate == "none") return x[0] * 0.5 * (1.0 + erf(x[0] * (1.0 / std::numbers::sqrt2)));
  const double sqrt_2_over_pi = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
  const Expr cubic = x[0] * x[0] * x[0];
  return x[0] * 0.5 * (1.0 + tanh((x[0] + cubic * 0.044715) * sqrt_2_over_pi));
}

const OpInfo& op_gelu() { return op_info<Gelu>(); }

}  // namespace lathe::ops
