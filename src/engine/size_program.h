// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/plan.h"

namespace lathe {

/// The values of a plan's symbols or expressions as far as they are known.
struct Sizes {
  std::vector<int64_t> value;
  std::vector<uint8_t> known;
  explicit Sizes(size_t n = 0) : value(n), known(n) {}
  void set(size_t i, int64_t v) {
    value[i] = v;
    known[i] = 1;
  }
};

/// One operation; nothing on overflow (beyond ±2^62) or division by zero. Division and remainder round towards minus
/// infinity.
[[nodiscard]] std::optional<int64_t> size_apply(SizeExpr::Kind kind, int64_t a, int64_t b);

/// Evaluates expression `id`, whose operands are evaluated already; it stays unknown while an operand is unknown.
/// Allocates nothing unless it fails (kUsage, with the expression spelled out).
[[nodiscard]] Status size_evaluate(const Plan& plan, ExprId id, const Sizes& symbols, Sizes& out);
/// All of them in order.
[[nodiscard]] Status size_evaluate_all(const Plan& plan, const Sizes& symbols, Sizes& out);

/// `2*h + 1`; "?" for kNone.
[[nodiscard]] std::string size_format(const Plan& plan, ExprId id);
/// `[batch, 3, 224]`
[[nodiscard]] std::string size_format(const Plan& plan, std::span<const ExprId> dims);
[[nodiscard]] std::string shape_format(std::span<const int64_t> dims);

}  // namespace lathe
