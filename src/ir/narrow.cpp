// SPDX-License-Identifier: Apache-2.0
// Casts from and to types that are stored but not computed in, as arithmetic on bits: floats of 8 and 4 bits (OCP
// "Microscaling formats" 1.0, "8-bit floating point" 1.0; ONNX Cast-25), integers of 4 and 2.
#include <cmath>

#include "ir/program.h"

namespace lathe {

namespace {

/// Sign, exponent, mantissa. Codes are without the sign.
struct Format {
  int mantissa, bias, sign_shift;
  uint32_t largest;   ///< code of the largest finite value
  uint32_t overflow;  ///< what lies above it becomes this
  uint32_t nan;
  bool unsigned_zero;  ///< "fnuz": the code of -0 is the only NaN
};

Format format_of(DType t) {
  switch (t) {
    case DType::kF8E4M3FN:
      return {3, 7, 7, 0x7e, 0x7f, 0x7f, false};
    case DType::kF8E4M3FNUZ:
      return {3, 8, 7, 0x7f, 0x80, 0x80, true};
    case DType::kF8E5M2:
      return {2, 15, 7, 0x7b, 0x7c, 0x7e, false};
    case DType::kF8E5M2FNUZ:
      return {2, 16, 7, 0x7f, 0x80, 0x80, true};
    default:  // f4e2m1: neither infinity nor NaN; what is no number becomes -0
      return {1, 1, 3, 0x7, 0x7, 0x8, false};
  }
}

constexpr DType kBits = DType::kU32;

Expr number(Expr like, double v) { return like.builder->constant(like.dtype(), v); }
Expr shl(Expr a, int by) { return binary(Prim::kShl, a, number(a, by)); }
Expr shr(Expr a, int by) { return binary(Prim::kShr, a, number(a, by)); }
Expr both(Expr a, uint32_t mask) { return binary(Prim::kAnd, a, number(a, mask)); }
Expr either(Expr a, Expr b) { return binary(Prim::kOr, a, b); }
Expr equals(Expr a, uint32_t v) { return compare(Prim::kEq, a, number(a, v)); }
Expr is_nan(Expr a) { return a.builder->step(Prim::kIsNaN, DType::kBool, a); }
Expr above(Expr a, uint32_t v) { return compare(Prim::kLt, number(a, v), a); }

Expr widened(Expr x, const Format& f) {
  const Expr code = cast(bitcast(x, DType::kU8), kBits);
  const Expr magnitude = both(code, (1u << f.sign_shift) - 1);
  // As the bits of an f32 the code is too small by a power of two, subnormals included.
  Expr v = bitcast(shl(magnitude, 23 - f.mantissa), DType::kF32) * std::ldexp(1.0, 127 - f.bias);
  const Expr nan = number(v, std::nan(""));
  if (f.unsigned_zero) {
    v = select(equals(code, f.nan), nan, v);
  } else if (f.sign_shift == 7) {
    if (f.overflow != f.nan) v = select(equals(magnitude, f.overflow), number(v, INFINITY), v);
    v = select(above(magnitude, f.overflow == f.nan ? f.largest : f.overflow), nan, v);
  }
  const Expr sign = shl(both(code, 1u << f.sign_shift), 31 - f.sign_shift);
  return bitcast(either(bitcast(v, kBits), sign), DType::kF32);
}

Expr narrowed(Expr x, const Format& f, DType to) {
  const Expr bits = bitcast(x, kBits), magnitude = both(bits, 0x7fffffff), a = bitcast(magnitude, DType::kF32);
  const int drop = 23 - f.mantissa;
  const uint32_t exponent_shift = static_cast<uint32_t>(127 - f.bias) << 23, below_half = (1u << (drop - 1)) - 1;
  const Expr odd = both(shr(magnitude, drop), 1);
  const Expr normal =
      shr(magnitude + odd + static_cast<double>(below_half) - static_cast<double>(exponent_shift), drop);
  // Where the result is subnormal: adding this makes the sum's last bit the result's, so that it is rounded once.
  const double magic = std::ldexp(1.0, 24 - f.bias - f.mantissa);
  const Expr round = number(a, magic);
  const Expr subnormal = bitcast(a + round, kBits) - bitcast(round, kBits);
  Expr code = select(compare(Prim::kLt, a, number(a, std::ldexp(1.0, 1 - f.bias))), subnormal, normal);
  code = select(above(code, f.largest), number(code, f.overflow), code);
  const Expr sign = both(shr(bits, 31 - f.sign_shift), 1u << f.sign_shift);
  Expr nan = number(code, f.nan);
  if (f.unsigned_zero) {
    const Expr no_sign = either(compare(Prim::kEq, code, number(code, 0)), equals(code, f.nan));
    code = select(no_sign, code, either(code, sign));
  } else {
    code = either(code, sign);
    if (f.sign_shift == 7) nan = either(nan, sign);
  }
  return bitcast(cast(select(is_nan(x), nan, code), DType::kU8), to);
}

}  // namespace

double largest_finite(DType t) {
  const Format f = format_of(t);
  const auto exponent = static_cast<int>(f.largest >> f.mantissa);
  const double fraction =
      static_cast<double>(f.largest & ((1u << f.mantissa) - 1)) / static_cast<double>(1u << f.mantissa);
  return std::ldexp(1 + fraction, exponent - f.bias);
}

Expr bitcast(Expr a, DType to) { return a.dtype() == to ? a : a.builder->step(Prim::kBitcast, to, a); }

Expr cast_to_exponent(Expr a, std::string_view mode, bool saturate) {
  const Expr x = cast(a, DType::kF32);
  const Expr bits = both(bitcast(x, kBits), 0x7fffffff), exponent = shr(bits, 23), rest = both(bits, 0x7fffff);
  const Expr one = number(bits, 1), none = number(bits, 0);
  // 2^-127, the smallest value, is a subnormal f32: the step to the next one lies elsewhere there.
  const auto step = [&](uint32_t normal, uint32_t subnormal) {
    return select(equals(exponent, 0), select(above(rest, subnormal), one, none),
                  select(above(rest, normal), one, none));
  };
  Expr code = exponent;
  if (mode == "up") code = code + step(0, 0x400000);
  if (mode == "nearest") code = code + step(0x3fffff, 0x5fffff);
  const uint32_t top = 254, nan = 255;
  const Expr outside = number(code, saturate ? top : nan);
  code = select(above(code, top), outside, code);
  if (!saturate) code = select(above(bits, 0x3fffff), code, number(code, nan));
  return bitcast(cast(select(is_nan(x), number(code, nan), code), DType::kU8), DType::kF8E8M0);
}

Expr cast(Expr a, DType to) {
  const DType from = a.dtype();
  if (from == to) return a;
  if (from == DType::kF8E8M0) {
    const Expr code = cast(bitcast(a, DType::kU8), kBits);
    const Expr power = select(equals(code, 0), number(code, 0x400000), shl(code, 23));
    const Expr v = bitcast(power, DType::kF32);
    return cast(select(equals(code, 255), number(v, std::nan("")), v), to);
  }
  if (dtype_small_float(from)) return cast(widened(a, format_of(from)), to);
  if (dtype_packed(from)) return cast(bitcast(a, dtype_info(from).is_signed ? DType::kI8 : DType::kU8), to);
  if (to == DType::kF8E8M0) return cast_to_exponent(a, "nearest", false);
  if (dtype_small_float(to)) return narrowed(cast(a, DType::kF32), format_of(to), to);
  if (dtype_packed(to)) {
    const int unused = 32 - dtype_bits(to);
    const bool sign = dtype_info(to).is_signed;
    // What is no integer is first cut to one that holds the type's range with ease.
    const Expr wide = cast(from == DType::kU64 || from == DType::kI64 ? a : cast(a, DType::kI32), DType::kI32);
    const Expr value = sign ? wide : bitcast(wide, kBits);
    return bitcast(cast(shr(shl(value, unused), unused), sign ? DType::kI8 : DType::kU8), to);
  }
  return a.builder->step(Prim::kCast, to, a);
}

}  // namespace lathe
