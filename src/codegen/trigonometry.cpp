// SPDX-License-Identifier: Apache-2.0
// Trigonometric functions on vectors of f32; tests/codegen_math.cpp checks their errors. Polynomials: S. Moshier,
// Cephes (single precision).
#include "codegen/trigonometry.h"

#include <array>

namespace lathe::codegen {

namespace {

constexpr double kHalfPi = 1.57079632679489661923;
constexpr double kReducible = 8192;  // up to here three parts of pi/2 are enough

struct Trigonometry {
  Emitter& e;
  int n;

  Val c(double v) { return e.constant(DType::kF32, v, n); }
  Val ci(int64_t v) { return e.constant_int(DType::kI32, v, n); }
  Val select(Val condition, Val a, Val b) { return e.b.CreateSelect(condition, a, b); }
  Val magnitude(Val x) { return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Val with_sign(Val x, Val sign) { return e.b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign); }
  /// x + x z p(z)
  template <size_t N>
  Val odd(Val x, Val z, const std::array<double, N>& p) {
    return e.fma(e.b.CreateFMul(x, z), e.poly(z, p), x);
  }

  struct Reduced {
    Val sine, cosine;  ///< of what is left
    Val quadrant;      ///< how many quarters of a turn were taken away
  };
  Reduced reduce(Val x) {
    // Adding 1.5 * 2^23 rounds to an integer, whose bits then lie in the low mantissa.
    constexpr double kMagic = 12582912.0;
    Val shifted = e.fma(x, c(1 / kHalfPi), c(kMagic));
    Val turns = e.b.CreateFSub(shifted, c(kMagic));
    Val r = x;
    for (const double part : {1.5707963705062866, -4.371138828673793e-08, -1.7151245100059818e-15})
      r = e.fma(turns, c(-part), r);
    Val z = e.b.CreateFMul(r, r);
    Val sine = odd(r, z, std::array{-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1});
    Val cosine = e.poly(z, std::array{2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2});
    cosine = e.fma(e.b.CreateFMul(z, z), cosine, e.fma(z, c(-0.5), c(1)));
    return {sine, cosine, e.b.CreateBitCast(shifted, e.vec(DType::kI32, n))};
  }
  Val is_set(Val bits, int64_t mask) { return e.b.CreateICmpNE(e.b.CreateAnd(bits, ci(mask)), ci(0)); }
  Val negated_if(Val condition, Val x) { return select(condition, e.b.CreateFNeg(x), x); }

  Val sine(Val x) {
    const Reduced r = reduce(x);
    return negated_if(is_set(r.quadrant, 2), select(is_set(r.quadrant, 1), r.cosine, r.sine));
  }
  Val cosine(Val x) {
    const Reduced r = reduce(x);
    Val next = e.b.CreateAdd(r.quadrant, ci(1));
    return negated_if(is_set(next, 2), select(is_set(next, 1), r.cosine, r.sine));
  }
  Val tangent(Val x) {
    const Reduced r = reduce(x);
    Val odd_quarter = is_set(r.quadrant, 1);
    return e.b.CreateFDiv(select(odd_quarter, e.b.CreateFNeg(r.cosine), r.sine), select(odd_quarter, r.sine, r.cosine));
  }

  /// asin(|x|), or acos(|x|) for `beyond`: |x| > 1/2, where asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)).
  Val arc(Val x, Val beyond) {
    Val far = e.b.CreateFMul(e.b.CreateFSub(c(1), x), c(0.5));
    Val z = select(beyond, far, e.b.CreateFMul(x, x));
    Val s = select(beyond, e.b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, far), x);
    Val r = odd(s, z, std::array{4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1});
    return select(beyond, e.b.CreateFMul(r, c(2)), r);
  }
  /// a - b with the digits of a that a float does not hold.
  Val from(double a, Val b) {
    const auto high = static_cast<float>(a);
    return e.b.CreateFAdd(e.b.CreateFSub(c(high), b), c(a - static_cast<double>(high)));
  }
  Val arcsine(Val x) {
    Val a = magnitude(x), beyond = e.b.CreateFCmpOGT(a, c(0.5)), r = arc(a, beyond);
    return with_sign(select(beyond, from(kHalfPi, r), r), x);
  }
  Val arccosine(Val x) {
    Val a = magnitude(x), beyond = e.b.CreateFCmpOGT(a, c(0.5)), r = arc(a, beyond);
    Val negative = e.b.CreateFCmpOLT(x, c(0));
    return select(beyond, select(negative, from(2 * kHalfPi, r), r), from(kHalfPi, negated_if(negative, r)));
  }
  Val arctangent(Val x) {
    constexpr double kTan3Pi8 = 2.414213562373095, kTanPi8 = 0.4142135623730950;
    Val a = magnitude(x);
    Val far = e.b.CreateFCmpOGT(a, c(kTan3Pi8)), middle = e.b.CreateFCmpOGT(a, c(kTanPi8));
    Val above = select(far, c(-1), select(middle, e.b.CreateFSub(a, c(1)), a));
    Val below = select(far, a, select(middle, e.b.CreateFAdd(a, c(1)), c(1)));
    Val t = e.b.CreateFDiv(above, below), z = e.b.CreateFMul(t, t);
    Val r = odd(t, z, std::array{8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1});
    r = e.b.CreateFAdd(r, select(far, c(kHalfPi), select(middle, c(kHalfPi / 2), c(0))));
    return with_sign(r, x);
  }
};

}  // namespace

Val trigonometric(Emitter& e, Prim prim, Val x, const std::function<Val()>& exactly) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  Trigonometry t{e, vector ? static_cast<int>(vector->getNumElements()) : 1};
  if (prim == Prim::kAsin) return t.arcsine(x);
  if (prim == Prim::kAcos) return t.arccosine(x);
  if (prim == Prim::kAtan) return t.arctangent(x);
  Val large = e.b.CreateFCmpOGT(t.magnitude(x), t.c(kReducible));
  if (vector) large = e.b.CreateOrReduce(large);
  return e.if_else(
      large, [&] { return Vals{exactly()}; },
      [&] {
        Val r = prim == Prim::kSin ? t.sine(x) : prim == Prim::kCos ? t.cosine(x) : t.tangent(x);
        // Sums lose the sign of zero.
        return Vals{prim == Prim::kCos ? r : t.select(e.b.CreateFCmpOEQ(x, t.c(0)), x, r)};
      })[0];
}

}  // namespace lathe::codegen
