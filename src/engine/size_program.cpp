// SPDX-License-Identifier: Apache-2.0
#include "engine/size_program.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int64_t kLimit = int64_t{1} << 62;
using Kind = SizeExpr::Kind;

/// An expression is a graph: printing shared parts again and again could take exponential time and space.
constexpr int kPrintDepth = 8;

std::string format_at(const Plan& plan, ExprId id, int depth) {
  if (id < 0 || static_cast<size_t>(id) >= plan.exprs.size()) return "?";
  const SizeExpr& e = plan.exprs[static_cast<size_t>(id)];
  if (e.kind == Kind::kConstant) return std::to_string(e.value);
  if (e.kind == Kind::kSymbol) return plan.symbols[static_cast<size_t>(e.value)].name;
  if (depth == 0) return "…";
  const std::string a = format_at(plan, e.a, depth - 1), b = format_at(plan, e.b, depth - 1);
  switch (e.kind) {
    case Kind::kAdd:
      return "(" + a + " + " + b + ")";
    case Kind::kMul:
      return a + "*" + b;
    case Kind::kFloorDiv:
      return "(" + a + " / " + b + ")";
    case Kind::kMod:
      return "(" + a + " % " + b + ")";
    case Kind::kMin:
      return "min(" + a + ", " + b + ")";
    case Kind::kMax:
      return "max(" + a + ", " + b + ")";
    default:
      return "?";
  }
}

template <class T, class F>
std::string join(std::span<const T> items, F&& text) {
  std::string out = "[";
  for (size_t i = 0; i < items.size(); ++i) out += (i ? ", " : "") + text(items[i]);
  return out + "]";
}

}  // namespace

std::optional<int64_t> size_apply(Kind kind, int64_t a, int64_t b) {
  int64_t r = 0;
  bool wrong = false;
  switch (kind) {
    case Kind::kAdd:
      wrong = __builtin_add_overflow(a, b, &r);
      break;
    case Kind::kMul:
      wrong = __builtin_mul_overflow(a, b, &r);
      break;
    case Kind::kFloorDiv:
    case Kind::kMod: {
      if (b == 0) return std::nullopt;
      const int64_t q = a / b, m = a % b;  // operands are within ±2^62, so this cannot overflow
      const bool down = m != 0 && (m < 0) != (b < 0);
      r = kind == Kind::kFloorDiv ? q - down : m + (down ? b : 0);
      break;
    }
    case Kind::kMin:
      r = std::min(a, b);
      break;
    case Kind::kMax:
      r = std::max(a, b);
      break;
    default:
      return std::nullopt;
  }
  if (wrong || r > kLimit || r < -kLimit) return std::nullopt;
  return r;
}

Status size_evaluate(const Plan& plan, ExprId id, const Sizes& symbols, Sizes& out) {
  const auto i = static_cast<size_t>(id);
  const SizeExpr& e = plan.exprs[i];
  switch (e.kind) {
    case Kind::kConstant:
      out.set(i, e.value);
      return {};
    case Kind::kSymbol:
      out.value[i] = symbols.value[static_cast<size_t>(e.value)];
      out.known[i] = symbols.known[static_cast<size_t>(e.value)];
      return {};
    default:
      break;
  }
  const auto a = static_cast<size_t>(e.a), b = static_cast<size_t>(e.b);
  out.known[i] = out.known[a] & out.known[b];
  if (!out.known[i]) return {};
  if (const auto v = size_apply(e.kind, out.value[a], out.value[b])) {
    out.value[i] = *v;
    return {};
  }
  out.known[i] = 0;
  return fail(Code::kUsage, "the size " + size_format(plan, id) +
                                " cannot be computed (it is too large or divides by "
                                "zero); bind smaller shapes");
}

Status size_evaluate_all(const Plan& plan, const Sizes& symbols, Sizes& out) {
  for (size_t i = 0; i < plan.exprs.size(); ++i) LATHE_CHECK(size_evaluate(plan, static_cast<ExprId>(i), symbols, out));
  return {};
}

std::string size_format(const Plan& plan, ExprId id) { return format_at(plan, id, kPrintDepth); }
std::string size_format(const Plan& plan, std::span<const ExprId> dims) {
  return join(dims, [&](ExprId d) { return size_format(plan, d); });
}
std::string shape_format(std::span<const int64_t> dims) {
  return join(dims, [](int64_t d) { return std::to_string(d); });
}

}  // namespace lathe
