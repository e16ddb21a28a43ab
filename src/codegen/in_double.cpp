// SPDX-License-Identifier: Apache-2.0
// Functions of f32 that lose digits on the way (a logarithm times an exponent, differences of exponentials) or reach
// the ends of the range: 29 more digits and 3 more bits of exponent make the plain formulas right, denormals included.
// tests/codegen_math.cpp checks their errors. Polynomials are minimax fits, good to 2^-39.
#include "codegen/in_double.h"

#include <array>
#include <limits>

namespace lathe::codegen {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kExponentOfOne = int64_t{1023} << 52;

struct Doubles {
  Emitter& e;
  int n;

  Val c(double v) { return e.constant(DType::kF64, v, n); }
  Val ci(int64_t v) { return e.constant_int(DType::kI64, v, n); }
  Val select(Val condition, Val a, Val b) { return e.b.CreateSelect(condition, a, b); }
  Val bits_of(Val x) { return e.b.CreateBitCast(x, e.vec(DType::kI64, n)); }
  Val number_of(Val bits) { return e.b.CreateBitCast(bits, e.vec(DType::kF64, n)); }
  Val magnitude(Val x) { return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Val root(Val x) { return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x); }
  Val whole(Val x) { return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::trunc, x); }
  Val with_sign(Val x, Val sign) { return e.b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign); }

  /// Of what comes from floats: no denormals. Of 0, infinity, NaN and negative numbers too.
  Val log(Val x) {
    // The mantissa in [sqrt(1/2), sqrt(2)), and the exponent with its bias, above it.
    constexpr int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
    Val bits = bits_of(x);
    Val field = e.b.CreateAnd(e.b.CreateSub(bits, ci(kSqrtHalf - kExponentOfOne)), ci(-(int64_t{1} << 52)));
    Val m = number_of(e.b.CreateAdd(e.b.CreateSub(bits, field), ci(kExponentOfOne)));
    // In the low bits of 2^52 an integer is a number.
    Val k = e.b.CreateFSub(number_of(e.b.CreateOr(e.b.CreateLShr(field, ci(52)), ci(int64_t{1075} << 52))),
                           c(0x1p52 + 1023));
    Val s = e.b.CreateFDiv(e.b.CreateFSub(m, c(1)), e.b.CreateFAdd(m, c(1)));
    Val z = e.b.CreateFMul(s, s), twice = e.b.CreateFAdd(s, s);
    Val series = e.poly(z, std::array{9.792046173985e-2, 1.1088095973954e-1, 1.428605455185783e-1,
                                      1.9999997811049955e-1, 3.333333333790052e-1});
    Val r = e.fma(k, c(0.693147180559945309), e.fma(e.b.CreateFMul(twice, z), series, twice));
    r = select(e.b.CreateFCmpOEQ(x, c(kInfinity)), x, r);
    r = select(e.b.CreateFCmpOEQ(x, c(0)), c(-kInfinity), r);
    return select(e.b.CreateFCmpULT(x, c(0)), c(std::numeric_limits<double>::quiet_NaN()), r);
  }

  /// e^700 and e^-700 are infinity and 0 for a float.
  Val exp(Val x) {
    constexpr double kMagic = 0x1.8p52;  // rounds to an integer whose bits then lie in the low mantissa
    x = select(e.b.CreateFCmpOGT(x, c(700)), c(700), x);
    x = select(e.b.CreateFCmpOLT(x, c(-700)), c(-700), x);
    Val shifted = e.fma(x, c(1.44269504088896341), c(kMagic));
    Val r = e.fma(e.b.CreateFSub(shifted, c(kMagic)), c(-0.693147180559945309), x);
    Val q =
        e.poly(r, std::array{2.470829032437047e-5, 1.9908939122038395e-4, 1.3889197128259603e-3, 8.33328180780259e-3,
                             4.166666440508192e-2, 1.666666678444283e-1, 5.000000000426811e-1, 1.0, 1.0});
    return e.b.CreateFMul(q, number_of(e.b.CreateAdd(e.b.CreateShl(bits_of(shifted), ci(52)), ci(kExponentOfOne))));
  }

  Val pow(Val x, Val y) {
    auto& b = e.b;
    Val a = magnitude(x);
    Val v = exp(b.CreateFMul(y, log(a)));
    // 1 to the power of infinity; of -1 too.
    v = select(b.CreateAnd(b.CreateFCmpOEQ(a, c(1)), b.CreateFCmpORD(y, y)), c(1), v);
    Val half = b.CreateFMul(y, c(0.5));
    Val fraction = b.CreateFCmpUNE(whole(y), y);
    Val odd = b.CreateAnd(b.CreateNot(fraction), b.CreateFCmpUNE(whole(half), half));
    v = select(odd, with_sign(v, x), v);
    Val negative = b.CreateAnd(b.CreateFCmpOLT(x, c(0)), b.CreateFCmpOLT(a, c(kInfinity)));
    v = select(b.CreateAnd(negative, fraction), c(std::numeric_limits<double>::quiet_NaN()), v);
    return select(b.CreateOr(b.CreateFCmpOEQ(y, c(0)), b.CreateFCmpOEQ(x, c(1))), c(1), v);
  }

  /// `far`, or where |x| is small x + x z series(z).
  template <size_t N>
  Val near_zero(Val x, const std::array<double, N>& series, Val far) {
    Val z = e.b.CreateFMul(x, x);
    Val near = e.fma(e.b.CreateFMul(x, z), e.poly(z, series), x);
    return select(e.b.CreateFCmpOLT(magnitude(x), c(0x1p-6)), near, far);
  }

  Val apply(Prim prim, Val x, Val y) {
    auto& b = e.b;
    switch (prim) {
      case Prim::kPow:
        return pow(x, y);
      case Prim::kSinh: {
        Val t = exp(magnitude(x));
        t = b.CreateFMul(b.CreateFSub(t, b.CreateFDiv(c(1), t)), c(0.5));
        return near_zero(x, std::array{1.0 / 120, 1.0 / 6}, with_sign(t, x));
      }
      case Prim::kCosh: {
        Val t = exp(magnitude(x));
        return b.CreateFMul(b.CreateFAdd(t, b.CreateFDiv(c(1), t)), c(0.5));
      }
      case Prim::kAsinh: {
        Val a = magnitude(x);
        Val far = with_sign(log(b.CreateFAdd(a, root(e.fma(a, a, c(1))))), x);
        return near_zero(x, std::array{3.0 / 40, -1.0 / 6}, far);
      }
      case Prim::kAcosh: {  // at -1e30 the sum is 0, not negative
        Val sum = b.CreateFAdd(x, root(b.CreateFMul(b.CreateFSub(x, c(1)), b.CreateFAdd(x, c(1)))));
        return select(b.CreateFCmpOLT(x, c(1)), c(std::numeric_limits<double>::quiet_NaN()), log(sum));
      }
      default: {  // kAtanh
        Val far = log(b.CreateFDiv(b.CreateFAdd(c(1), x), b.CreateFSub(c(1), x)));
        return near_zero(x, std::array{1.0 / 5, 1.0 / 3}, b.CreateFMul(far, c(0.5)));
      }
    }
  }
};

}  // namespace

Val in_double(Emitter& e, Prim prim, Val x, Val y) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  Doubles d{e, vector ? static_cast<int>(vector->getNumElements()) : 1};
  const auto wide = [&](Val v) { return v ? e.b.CreateFPExt(v, e.vec(DType::kF64, d.n)) : nullptr; };
  return e.b.CreateFPTrunc(d.apply(prim, wide(x), wide(y)), e.vec(DType::kF32, d.n));
}

}  // namespace lathe::codegen
