// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

#include "ir/program.h"

/// The integer arithmetic of LiteRT's reference kernels: numbers, for tables made at import, and the same as steps of
/// programs in i64. "Qm.n" is a signed fixed-point number of m bits before and n behind the point.
namespace lathe::tflite::fixed {

/// A positive real as value * 2^(shift - 31), value in [2^30, 2^31).
struct Multiplier {
  int32_t value = 0;
  int shift = 0;
};
Multiplier multiplier(double real);

/// round(a * b / 2^31), halves up.
int32_t high_mul(int32_t a, int32_t b);
/// round(x / 2^exponent), halves away from zero.
int32_t divide_by_power(int32_t x, int exponent);
/// x * 2^exponent, saturating.
int32_t saturating_shift(int32_t x, int exponent);
/// x * m, rounded twice as the reference does.
int32_t multiply(int32_t x, Multiplier m);
/// exp(x) as Q0.31 for x <= 0 as Q5.26.
int32_t exp_of_negative(int32_t x);
/// round(v), halves away from zero.
double round_away(double v);

/// The same in programs; x in i64, or where stated in i32, which is quicker where it holds all that occurs.
/// i32 as well.
Expr high_mul(Expr a, Expr b);
/// i32 as well, of what high_mul gave.
Expr divide_by_power(Expr x, int exponent);
/// The same in i32, by exponent_less_1 + 1, varying; where that is 0, x itself if `some_0`.
Expr divide_by_power(Expr x, Expr exponent_less_1, bool some_0);
/// `exponent` > 0, varying.
Expr divide_by_power(Expr x, Expr exponent);
Expr saturating_shift(Expr x, int exponent);
/// i32 as well.
Expr multiply(Expr x, Multiplier m);
/// As the one above, for a multiplier that varies.
Expr multiply(Expr x, Expr value, Expr shift);
/// Value and shift of the multiplier that is 1 / sqrt(x), for x > 0 (1 where x <= 1).
std::pair<Expr, Expr> inverse_sqrt(Expr x);
/// Of any integer type.
Expr shift_left(Expr x, int64_t by);
Expr shift_right(Expr x, int64_t by);
/// Position of the highest bit of x > 0.
Expr log2_floor(Expr x);
/// log(x) as Q5.26, for x >= 1 as Q12.19.
Expr log_of(Expr x);
/// 1 / (1 + x) as Q0.31 for x in [0, 1) as Q0.31.
Expr one_over_one_plus(Expr x);
/// Rounds f32 to whole numbers, halves away from zero.
Expr round_away(Expr x);

}  // namespace lathe::tflite::fixed
