// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/fixed_point.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace lathe::tflite::fixed {

namespace {

constexpr int32_t kMost = std::numeric_limits<int32_t>::max(), kLeast = std::numeric_limits<int32_t>::min();
constexpr int64_t kHalf = int64_t{1} << 30;

Expr constant(Expr like, int64_t v) { return like.builder->constant(like.dtype(), static_cast<double>(v)); }
Expr wide(Expr x) { return cast(x, DType::kI64); }

}  // namespace

double round_away(double v) { return std::round(v); }

Multiplier multiplier(double real) {
  if (!(real > 0)) return {};
  int shift = 0;
  auto fixed = static_cast<int64_t>(std::round(std::frexp(real, &shift) * 2147483648.0));
  if (fixed == int64_t{1} << 31) {
    fixed /= 2;
    ++shift;
  }
  if (shift < -31) return {};
  if (shift > 30) return {kMost, 30};
  return {static_cast<int32_t>(fixed), shift};
}

int32_t high_mul(int32_t a, int32_t b) {
  if (a == kLeast && b == kLeast) return kMost;
  return static_cast<int32_t>((static_cast<int64_t>(a) * b + kHalf) >> 31);
}

int32_t divide_by_power(int32_t x, int exponent) {
  if (exponent == 0) return x;
  return static_cast<int32_t>((int64_t{x} + (int64_t{1} << (exponent - 1)) - (x < 0 ? 1 : 0)) >> exponent);
}

int32_t saturating_shift(int32_t x, int exponent) {
  if (exponent < 0) return divide_by_power(x, -exponent);
  return static_cast<int32_t>(std::clamp<int64_t>(int64_t{x} << exponent, kLeast, kMost));
}

int32_t multiply(int32_t x, Multiplier m) {
  const auto shifted = static_cast<int32_t>(static_cast<uint32_t>(x) << std::max(m.shift, 0));
  return divide_by_power(high_mul(shifted, m.value), std::max(-m.shift, 0));
}

// exp is a product: of exp(-2^k) for the bits of the whole part and the quarters, and of a polynomial around -1/8 for
// what is left.
int32_t exp_of_negative(int32_t x) {
  if (x == 0) return kMost;
  constexpr int32_t kQuarter = 1 << 24;
  const int32_t rest = (x & (kQuarter - 1)) - kQuarter;  // in [-1/4, 0)
  const int32_t a = saturating_shift(rest, 5) + (1 << 28);
  const int32_t a2 = high_mul(a, a), a3 = high_mul(a2, a), a4 = high_mul(a2, a2);
  const int32_t third = high_mul(divide_by_power(a4, 2) + a3, 715827883);  // 1/3
  constexpr int32_t kExpOfMinusEighth = 1895147668;
  int32_t result = kExpOfMinusEighth + high_mul(kExpOfMinusEighth, a + divide_by_power(third + a2, 1));
  const int32_t whole = rest - x;
  constexpr int32_t kPowers[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  for (int k = 0; k < 7; ++k)
    if (((whole >> (24 + k)) & 1) != 0) result = high_mul(result, kPowers[k]);
  return result;
}

Expr shift_left(Expr x, int64_t by) { return by == 0 ? x : binary(Prim::kShl, x, constant(x, by)); }
Expr shift_right(Expr x, int64_t by) { return by == 0 ? x : binary(Prim::kShr, x, constant(x, by)); }

Expr high_mul(Expr a, Expr b) {
  if (a.dtype() == DType::kI32) return cast(high_mul(wide(a), wide(b)), DType::kI32);
  return shift_right(a * b + constant(a, kHalf), 31);
}

Expr divide_by_power(Expr x, int exponent) {
  if (exponent == 0) return x;
  if (x.dtype() == DType::kI32) return divide_by_power(x, constant(x, exponent - 1), false);
  return shift_right(x + constant(x, int64_t{1} << (exponent - 1)) + shift_right(x, 63), exponent);
}

// To add the half at once could overflow: all bits but one go first, then a half is 1. high_mul gives neither the least
// nor the largest i32, so that 1 less and 1 more are one, too.
Expr divide_by_power(Expr x, Expr exponent_less_1, bool some_0) {
  const Expr by = binary(Prim::kAnd, exponent_less_1, constant(x, 31));
  const Expr doubled = binary(Prim::kShr, x + shift_right(x, 31), by);
  const Expr y = shift_right(doubled + constant(x, 1), 1);
  return some_0 ? select(compare(Prim::kLt, exponent_less_1, constant(x, 0)), x, y) : y;
}

Expr divide_by_power(Expr x, Expr exponent) {
  const Expr half = binary(Prim::kShl, constant(x, 1), exponent - constant(x, 1));
  return binary(Prim::kShr, x + half + shift_right(x, 63), exponent);
}

Expr saturating_shift(Expr x, int exponent) {
  if (exponent < 0) return divide_by_power(x, -exponent);
  return min(max(shift_left(x, exponent), constant(x, kLeast)), constant(x, kMost));
}

Expr multiply(Expr x, Multiplier m) {
  return divide_by_power(high_mul(shift_left(x, std::max(m.shift, 0)), constant(x, m.value)), std::max(-m.shift, 0));
}

Expr multiply(Expr x, Expr value, Expr shift) {
  const Expr none = constant(x, 0), left = max(shift, none), right = max(-shift, none);
  const Expr product = high_mul(binary(Prim::kShl, x, left), value);
  const Expr half = shift_right(binary(Prim::kShl, constant(x, 1), right), 1);
  const Expr towards = select(compare(Prim::kLt, none, right), shift_right(product, 63), none);
  return binary(Prim::kShr, product + half + towards, right);
}

// Newton's iteration for 1/sqrt, five rounds in Q3.28, after x was brought to [2^27, 2^29).
std::pair<Expr, Expr> inverse_sqrt(Expr x) {
  const auto number = [&](int64_t v) { return constant(x, v); };
  const Expr none = number(0);
  const Expr large = compare(Prim::kLe, number(1 << 29), x);
  const Expr small = max(select(large, shift_right(x, 2), x), number(1));
  const Expr pairs = shift_right(number(30) - log2_floor(small), 1) - number(1);
  const Expr shift = select(large, number(12), number(11)) - pairs;
  const Expr input = shift_right(binary(Prim::kShl, small, pairs + pairs), 1);
  const Expr half = divide_by_power(input, 1), three_halves = number((1 << 28) + (1 << 27));
  Expr r = number(1 << 28);
  for (int i = 0; i < 5; ++i) {
    const Expr cube = saturating_shift(high_mul(high_mul(r, r), r), 6);
    r = saturating_shift(high_mul(three_halves, r) - high_mul(half, cube), 3);
  }
  r = high_mul(r, number(1518500250));  // sqrt(1/2)
  const Expr one = compare(Prim::kLe, x, number(1));
  return {select(one, number(kMost), binary(Prim::kShl, r, max(-shift, none))), select(one, none, -max(shift, none))};
}

Expr log2_floor(Expr x) {
  Expr position = constant(x, 0);
  for (const int64_t step : {16, 8, 4, 2, 1}) {
    const Expr upper = shift_right(x, step);
    const Expr has = compare(Prim::kLt, constant(x, 0), upper);
    x = select(has, upper, x);
    position = select(has, position + constant(x, step), position);
  }
  return position;
}

// Newton's division, three rounds, from 48/17 - 32/17 * d in Q2.29 for d = (1 + x) / 2.
Expr one_over_one_plus(Expr x) {
  const Expr d = shift_right(x + constant(x, int64_t{kMost} + 1), 1);
  Expr r = constant(x, 1515870810) + high_mul(d, constant(x, -1010580540));
  for (int i = 0; i < 3; ++i) {
    const Expr off = constant(x, 1 << 29) - high_mul(d, r);
    r = r + saturating_shift(high_mul(r, off), 2);
  }
  return saturating_shift(r, 1);
}

// x is 2^k * r with r in [sqrt(1/2), 1); a rational function of r around the fourth root of 1/2 gives log(r). Which of
// two k fits is told by their r.
Expr log_of(Expr x) {
  const auto number = [&](int64_t v) { return constant(x, v); };
  constexpr int64_t kRootHalf = 1518500250, kFourthRootHalf = 1805811301, kQuarter = 1 << 23;
  const Expr a_top = log2_floor(x);
  const Expr r_a = saturating_shift(high_mul(binary(Prim::kShl, x, 30 - a_top), number(kRootHalf)), 1);
  const Expr k_a = shift_left(a_top - (31 - 12), 25) + static_cast<double>(kQuarter);
  const Expr b_room = 30 - log2_floor(max(high_mul(x, number(kRootHalf)), 1));
  const Expr r_b = min(binary(Prim::kShl, x, b_room), number(kMost));
  const Expr k_b = shift_left(12 - b_room, 25) - static_cast<double>(kQuarter);
  const Expr r = min(r_a, r_b), k = max(k_a, k_b);
  const Expr p = shift_right(r + static_cast<double>(kFourthRootHalf + 1), 1);
  const Expr half = r - static_cast<double>(kFourthRootHalf), q = half + half;
  const Expr square = high_mul(q, q);
  const Expr above = high_mul(q, r) + high_mul(high_mul(q, square), number(117049297));
  const Expr below =
      high_mul(p, q + 1057819769.0 + high_mul(number(127690142), square)) + high_mul(number(638450708), q);
  const Expr log_r = high_mul(divide_by_power(above, 6), one_over_one_plus(below));
  return saturating_shift(high_mul(k, number(1488522236)) + log_r, 1);
}

Expr round_away(Expr x) {
  const Expr size = abs(x), whole = unary(Prim::kTrunc, size);
  const Expr one = x.builder->constant(x.dtype(), 1), half = x.builder->constant(x.dtype(), 0.5);
  return select(compare(Prim::kLe, half, size - whole), whole + one, whole) * unary(Prim::kSign, x);
}

}  // namespace lathe::tflite::fixed
