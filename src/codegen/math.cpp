// SPDX-License-Identifier: Apache-2.0
// Elementary functions on vectors, and elementwise programs. Error bounds are checked by tests/codegen_math.cpp.
// Polynomial for log: S. Moshier, Cephes (single precision).
#include <llvm/Analysis/VectorUtils.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "codegen/emitter.h"
#include "codegen/in_double.h"
#include "codegen/trigonometry.h"

namespace lathe::codegen {

namespace {

struct Helper {
  Emitter& e;
  int n;
  Val c(double v) { return e.constant(DType::kF32, v, n); }
  Val ci(int64_t v) { return e.constant_int(DType::kI32, v, n); }
  llvm::Type* ints() { return e.vec(DType::kI32, n); }
  llvm::Type* floats() { return e.vec(DType::kF32, n); }
  // Clamps that keep NaN: an unordered compare is false and leaves x.
  Val at_most(Val x, double hi) { return e.b.CreateSelect(e.b.CreateFCmpOGT(x, c(hi)), c(hi), x); }
  Val at_least(Val x, double lo) { return e.b.CreateSelect(e.b.CreateFCmpOLT(x, c(lo)), c(lo), x); }
};

int lane_count(Val v) {
  const auto* t = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  return t ? static_cast<int>(t->getNumElements()) : 1;
}

}  // namespace

namespace {

// exp(x) = q 2^k with k an integer and q in [sqrt(1/2), sqrt(2)].
struct Exponential {
  Val q = nullptr;
  Val k = nullptr;        ///< as a float
  Val shifted = nullptr;  ///< 1.5 2^23 + k, whose low nine bits are those of k
};

/// Of x, or of -x. The argument lies within +-110 or is NaN.
Exponential exponential(Helper& h, Val x, bool negated = false) {
  Emitter& e = h.e;
  const double sign = negated ? -1 : 1;
  // Adding 1.5 * 2^23 rounds to an integer, whose bits then lie in the low mantissa: no conversion of NaN to int.
  constexpr double kMagic = 12582912.0;
  Exponential r;
  r.shifted = e.fma(x, h.c(sign * 1.44269504088896341), h.c(kMagic));
  r.k = e.b.CreateFSub(r.shifted, h.c(kMagic));
  Val rest = e.fma(r.k, h.c(sign * -0.693359375), x);
  rest = e.fma(r.k, h.c(sign * 2.12194440e-4), rest);
  // Weighted minimax fit of (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2: 4e-9 of e^r.
  std::array fit{
      0.001381461275741458, 0.0083687175065279, 0.04166838899254799, 0.1666652113199234, 0.4999999403953552, 1.0, 1.0};
  for (size_t i = 1; negated && i < fit.size(); i += 2) fit[i] = -fit[i];
  r.q = e.poly(rest, fit);
  return r;
}

/// 2^i for the integer in the low bits of `i` (an i32 whose lowest nine bits count): 0 for -127, infinity for 128.
Val power_of_two(Helper& h, Val i) {
  Emitter& e = h.e;
  return e.b.CreateBitCast(e.b.CreateAdd(e.b.CreateShl(i, h.ci(23)), h.ci(int64_t{127} << 23)), h.floats());
}

bool has_scale(const Helper& h) {  // one instruction for q 2^k, denormals and overflow included
  return h.e.target.arch == Arch::kX86_64 && h.e.target.vector_bits == 512 && h.n % 16 == 0;
}
Val scale(Helper& h, const Exponential& x) {
  auto& b = h.e.b;
  Vals parts;
  for (int first = 0; first < h.n; first += 16) {
    std::vector<int> lanes(16);
    std::iota(lanes.begin(), lanes.end(), first);
    Val q = b.CreateShuffleVector(x.q, lanes);
    parts.push_back(b.CreateIntrinsic(llvm::Intrinsic::x86_avx512_mask_scalef_ps_512, {},
                                      {q, b.CreateShuffleVector(x.k, lanes), q, b.getInt16(0xffff), b.getInt32(4)}));
  }
  return llvm::concatenateVectors(b, parts);
}

/// q 2^k where k is in [-127, 128]: 0 for -127, infinity for 128.
Val scale_once(Helper& h, const Exponential& x) {
  if (has_scale(h)) return scale(h, x);
  return h.e.b.CreateFMul(x.q, power_of_two(h, h.e.b.CreateBitCast(x.shifted, h.ints())));
}

}  // namespace

Val Emitter::exp(Val x) {
  Helper h{*this, lane_count(x)};
  const Exponential r = exponential(h, h.at_least(h.at_most(x, 90.0), -105.0));
  if (has_scale(h)) return scale(h, r);
  // 2^k in two factors: k reaches from below the smallest denormal to above the largest float.
  Val k = b.CreateBitCast(r.shifted, h.ints());
  Val half = b.CreateAShr(k, h.ci(1));
  return b.CreateFMul(b.CreateFMul(r.q, power_of_two(h, half)), power_of_two(h, b.CreateSub(k, half)));
}

Val Emitter::exp_of_nonpositive(Val x) {
  Helper h{*this, lane_count(x)};
  return scale_once(h, exponential(h, h.at_least(x, -88.0)));  // -88: k is -127
}

Val Emitter::sigmoid(Val x) {
  // exp(-x) overflows to infinity at -88.8 (k is 128), where the sigmoid is below the smallest normal float.
  Helper h{*this, lane_count(x)};
  Val t = scale_once(h, exponential(h, h.at_least(h.at_most(x, 88.0), -88.8), true));
  return b.CreateFDiv(h.c(1), b.CreateFAdd(t, h.c(1)));
}

Val Emitter::log(Val x) {
  Helper h{*this, lane_count(x)};
  Val tiny = b.CreateFCmpOLT(x, h.c(1.17549435e-38));
  Val scaled = b.CreateSelect(tiny, b.CreateFMul(x, h.c(8388608.0)), x);
  Val bits = b.CreateBitCast(scaled, h.ints());
  // Mantissa in [sqrt(1/2), sqrt(2)): subtracting sqrt(1/2)'s bits makes the exponent field round down there.
  constexpr int64_t kSqrtHalf = 0x3f3504f3;
  Val offset = b.CreateSub(bits, h.ci(kSqrtHalf));
  Val k = b.CreateAShr(offset, h.ci(23));
  Val m = b.CreateBitCast(b.CreateSub(bits, b.CreateShl(k, h.ci(23))), h.floats());
  Val kf = b.CreateSIToFP(b.CreateSub(k, b.CreateSelect(tiny, h.ci(23), h.ci(0))), h.floats());
  Val f = b.CreateFSub(m, h.c(1));
  Val z = b.CreateFMul(f, f);
  Val y = poly(f, std::array{7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
                             -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
  y = b.CreateFMul(b.CreateFMul(y, f), z);
  y = fma(kf, h.c(-2.12194440e-4), y);
  y = fma(h.c(-0.5), z, y);
  Val r = fma(kf, h.c(0.693359375), b.CreateFAdd(f, y));
  const double inf = std::numeric_limits<double>::infinity();
  r = b.CreateSelect(b.CreateFCmpOEQ(x, h.c(inf)), x, r);
  r = b.CreateSelect(b.CreateFCmpOEQ(x, h.c(0)), h.c(-inf), r);
  return b.CreateSelect(b.CreateFCmpULT(x, h.c(0)), h.c(std::numeric_limits<double>::quiet_NaN()), r);
}

Val Emitter::erf(Val x) {
  // Near 0, x + x P(x^2); farther out 1 - G(|x|)^8, where G fits erfc^(1/8), a nearly straight line. Both are weighted
  // minimax fits. (A rational form over the whole range rounds too often: five ULP where erf nears 1.)
  Helper h{*this, lane_count(x)};
  Val z = b.CreateFMul(x, x);
  Val near = poly(z, std::array{5.882525147e-05, -7.280809223e-04, 5.085361656e-03, -2.678575926e-02, 1.128152385e-01,
                                -3.76123935e-01, 1.283791214e-01});
  near = fma(near, x, x);
  Val a = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
  Val g = poly(h.at_most(a, 4), std::array{-7.317473064e-04, 4.66468744e-03, 9.238375351e-03, -8.99156481e-02,
                                           -1.243639439e-01, 9.946565032e-01});
  g = b.CreateFMul(g, g);
  g = b.CreateFMul(g, g);
  Val far = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, fma(b.CreateFNeg(g), g, h.c(1)), x);
  return b.CreateSelect(b.CreateFCmpOGT(a, h.c(1.3)), far, near);
}

Val Emitter::tanh(Val x) {
  // (e - 1) / (e + 1) of e = exp(2|x|) = 2^k (1 + p): for k = 0 the numerator is p, with all its digits. Half of what
  // is left of 2|x| is the polynomial's argument.
  Helper h{*this, lane_count(x)};
  constexpr double kMagic = 12582912.0, kLn2 = 0.693147180559945309;  // as in exp
  Val a = h.at_most(b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x), 9.02);
  Val shifted = fma(a, h.c(2 / kLn2), h.c(kMagic));
  Val r = fma(b.CreateFSub(shifted, h.c(kMagic)), h.c(-kLn2 / 2), a);
  Val u = poly(r, std::array{4.442395269870758e-2, 1.3386741280555725e-1, 3.333376348018646e-1, 6.666616797447205e-1,
                             9.999999403953552e-1, 1.0});
  Val p = b.CreateFMul(b.CreateFAdd(r, r), u);
  Val power = b.CreateAdd(b.CreateShl(b.CreateBitCast(shifted, h.ints()), h.ci(23)), h.ci(int64_t{127} << 23));
  power = b.CreateBitCast(power, h.floats());
  Val above = fma(power, p, b.CreateFSub(power, h.c(1)));
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, b.CreateFDiv(above, b.CreateFAdd(above, h.c(2))), x);
}

namespace {

// Emits one step of a program; `n` lanes.
struct StepEmitter {
  Emitter& e;
  const Program& program;
  std::span<const Val> inputs;
  int n;
  Vals values;

  Val operand(int i) { return values[static_cast<size_t>(i)]; }
  DType type_of(int i) { return program.steps[static_cast<size_t>(i)].dtype; }

  Val intrinsic(llvm::Intrinsic::ID id, Val x) { return e.b.CreateUnaryIntrinsic(id, x); }

  /// A function without a vector form: one call a lane into the long-tail library (linked when compiled).
  Val per_lane(const char* name, DType t, std::initializer_list<Val> args) {
    auto* scalar = e.type(t);
    std::vector<llvm::Type*> types(args.size(), scalar);
    const std::string symbol = std::string("lathe_") + name + "_" + std::string(dtype_name(t));
    auto callee = e.module->getOrInsertFunction(symbol, llvm::FunctionType::get(scalar, types, false));
    if (n == 1) return e.b.CreateCall(callee, std::vector<Val>(args));
    Val result = llvm::PoisonValue::get(e.vec(t, n));
    for (uint64_t i = 0; i < static_cast<uint64_t>(n); ++i) {
      std::vector<Val> lane;
      for (Val a : args) lane.push_back(e.b.CreateExtractElement(a, i));
      result = e.b.CreateInsertElement(result, e.b.CreateCall(callee, lane), i);
    }
    return result;
  }

  Val guarded_divisor(Val y, DType t) {  // integer division by zero yields 0: divide by 1, select later
    return e.b.CreateSelect(e.b.CreateICmpEQ(y, e.constant_int(t, 0, n)), e.constant_int(t, 1, n), y);
  }
  Val int_div(Val x, Val y, DType t, bool remainder) {
    Val d = guarded_divisor(y, t);
    Val zero = e.constant_int(t, 0, n);
    if (!dtype_info(t).is_signed) {
      Val r = remainder ? e.b.CreateURem(x, d) : e.b.CreateUDiv(x, d);
      return e.b.CreateSelect(e.b.CreateICmpEQ(y, zero), zero, r);
    }
    // INT_MIN / -1 overflows: dividing by -1 is a negation.
    Val minus = e.b.CreateICmpEQ(y, e.constant_int(t, -1, n));
    Val safe = e.b.CreateSelect(minus, e.constant_int(t, 1, n), d);
    Val r = remainder ? e.b.CreateSelect(minus, zero, e.b.CreateSRem(x, safe))
                      : e.b.CreateSelect(minus, e.b.CreateNeg(x), e.b.CreateSDiv(x, safe));
    return e.b.CreateSelect(e.b.CreateICmpEQ(y, zero), zero, r);
  }

  Val power(Val x, const Step& s, DType t) {
    const Step& exponent = program.steps[static_cast<size_t>(s.b)];
    if (exponent.prim == Prim::kConstant && t == DType::kF32) {
      const double k = exponent.value;
      if (k == 2) return e.b.CreateFMul(x, x);
      if (k == 3) return e.b.CreateFMul(e.b.CreateFMul(x, x), x);
      if (k == 1) return x;
      if (k == -1) return e.b.CreateFDiv(e.constant(t, 1, n), x);
    }
    return t == DType::kF32 ? in_double(e, Prim::kPow, x, operand(s.b)) : per_lane("pow", t, {x, operand(s.b)});
  }

  /// Bounds of a step's value (where it is a number), as far as constants and types tell.
  std::pair<double, double> bounds(int i) const {
    const Step& s = program.steps[static_cast<size_t>(i)];
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const auto of = [&](int operand_step) { return bounds(operand_step); };
    switch (s.prim) {
      case Prim::kConstant:
        return dtype_info(s.dtype).is_float ? std::pair{s.value, s.value}
                                            : std::pair{static_cast<double>(s.integer), static_cast<double>(s.integer)};
      case Prim::kMin: {
        const auto a = of(s.a), b = of(s.b);
        return {std::min(a.first, b.first), std::min(a.second, b.second)};
      }
      case Prim::kMax: {
        const auto a = of(s.a), b = of(s.b);
        return {std::max(a.first, b.first), std::max(a.second, b.second)};
      }
      case Prim::kAnd:
        if (const Step& mask = program.steps[static_cast<size_t>(s.b)];
            mask.prim == Prim::kConstant && dtype_info(s.dtype).is_int && mask.integer >= 0)
          return {0, static_cast<double>(mask.integer)};
        return {-kInfinity, kInfinity};
      default:
        return {-kInfinity, kInfinity};
    }
  }

  /// To an integer of at most 32 bits from a float that lies in i32 or is no number (which gives 0).
  Val cast_bounded(Val x, DType from, DType to) {
    Val number = e.b.CreateSelect(e.b.CreateFCmpORD(x, x), x, e.constant(from, 0, n));
    Val i = e.b.CreateFPToSI(number, e.vec(DType::kI32, n));
    return e.b.CreateIntCast(i, e.vec(to, n), true);
  }

  Val cast(Val x, DType from, DType to) {
    if (from == to) return x;
    auto& b = e.b;
    if (from == DType::kBF16) {
      Val bits = b.CreateShl(b.CreateZExt(x, e.vec(DType::kI32, n)), e.constant_int(DType::kI32, 16, n));
      return cast(b.CreateBitCast(bits, e.vec(DType::kF32, n)), DType::kF32, to);
    }
    if (to == DType::kBF16) {  // round to nearest even; a NaN stays one
      Val wide = cast(x, from, DType::kF32);
      Val bits = b.CreateBitCast(wide, e.vec(DType::kI32, n));
      Val top = b.CreateLShr(bits, e.constant_int(DType::kI32, 16, n));
      Val odd = b.CreateAnd(top, e.constant_int(DType::kI32, 1, n));
      Val rounded = b.CreateLShr(b.CreateAdd(b.CreateAdd(bits, odd), e.constant_int(DType::kI32, 0x7fff, n)),
                                 e.constant_int(DType::kI32, 16, n));
      Val quiet = b.CreateOr(top, e.constant_int(DType::kI32, 0x40, n));
      return b.CreateTrunc(b.CreateSelect(b.CreateFCmpUNO(wide, wide), quiet, rounded), e.vec(DType::kBF16, n));
    }
    auto* type = e.vec(to, n);
    const auto &f = dtype_info(from), &g = dtype_info(to);
    if (to == DType::kBool)
      return f.is_float ? e.b.CreateFCmpUNE(x, e.constant(from, 0, n))
                        : e.b.CreateICmpNE(x, e.constant_int(from, 0, n));
    if (f.is_float && g.is_float) return g.bits < f.bits ? e.b.CreateFPTrunc(x, type) : e.b.CreateFPExt(x, type);
    if (f.is_float) {
      // Through i64, then wrapped: what C's (int8_t)(int64_t)x gives; the conversion itself saturates.
      const bool wide = g.bits == 64;
      auto* via = wide ? type : e.vec(DType::kI64, n);
      const auto id = to == DType::kU64 ? llvm::Intrinsic::fptoui_sat : llvm::Intrinsic::fptosi_sat;
      if (g.bits == 32 && g.is_signed && from == DType::kF32) {  // LLVM would saturate lane by lane
        Val high = b.CreateFCmpOGE(x, e.constant(from, 0x1p31, n));
        Val low = b.CreateFCmpOLT(x, e.constant(from, -0x1p31, n));
        Val i = cast_bounded(
            b.CreateSelect(high, e.constant(from, 0, n), b.CreateSelect(low, e.constant(from, -0x1p31, n), x)), from,
            to);
        return b.CreateSelect(high, e.constant_int(to, INT32_MAX, n), i);
      }
      if (g.bits == 32 && g.is_signed) return e.b.CreateIntrinsic(id, {type, x->getType()}, {x});
      Val i = e.b.CreateIntrinsic(id, {via, x->getType()}, {x});
      return wide ? i : e.b.CreateTrunc(i, type);
    }
    if (g.is_float) return f.is_signed && from != DType::kBool ? e.b.CreateSIToFP(x, type) : e.b.CreateUIToFP(x, type);
    return e.b.CreateIntCast(x, type, f.is_signed && from != DType::kBool);
  }

  Val step(const Step& s) {
    auto& b = e.b;
    const DType t = s.prim == Prim::kConstant || s.prim == Prim::kInput ? s.dtype : type_of(s.a);
    const bool fp = dtype_info(t).is_float;
    const bool sign = dtype_info(t).is_signed;
    Val x = s.a >= 0 ? operand(s.a) : nullptr;
    Val y = s.b >= 0 ? operand(s.b) : nullptr;
    switch (s.prim) {
      case Prim::kInput:
        return inputs[static_cast<size_t>(s.integer)];
      case Prim::kConstant:
        return dtype_info(s.dtype).is_float ? e.constant(s.dtype, s.value, n) : e.constant_int(s.dtype, s.integer, n);
      case Prim::kAdd:
        return fp ? b.CreateFAdd(x, y) : b.CreateAdd(x, y);
      case Prim::kSub:
        return fp ? b.CreateFSub(x, y) : b.CreateSub(x, y);
      case Prim::kMul:
        return fp ? b.CreateFMul(x, y) : b.CreateMul(x, y);
      case Prim::kDiv:
        return fp ? b.CreateFDiv(x, y) : int_div(x, y, t, false);
      case Prim::kFmod:
        return fp ? per_lane("fmod", t, {x, y}) : int_div(x, y, t, true);
      case Prim::kMod: {
        Val r = fp ? per_lane("fmod", t, {x, y}) : int_div(x, y, t, true);
        if (!sign) return r;
        // Sign of the divisor: add it where the remainder has the other sign.
        if (fp) {
          Val zero = e.constant(t, 0, n);
          Val wrong =
              b.CreateAnd(b.CreateFCmpUNE(r, zero), b.CreateXor(b.CreateFCmpOLT(r, zero), b.CreateFCmpOLT(y, zero)));
          Val signed_zero = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, zero, y);
          return b.CreateSelect(b.CreateFCmpOEQ(r, zero), signed_zero, b.CreateSelect(wrong, b.CreateFAdd(r, y), r));
        }
        Val zero = e.constant_int(t, 0, n);
        Val wrong =
            b.CreateAnd(b.CreateICmpNE(r, zero), b.CreateXor(b.CreateICmpSLT(r, zero), b.CreateICmpSLT(y, zero)));
        return b.CreateSelect(wrong, b.CreateAdd(r, y), r);
      }
      case Prim::kPow:
        return fp ? power(x, s, t) : per_lane("pow", t, {x, y});
      case Prim::kMin:
        return fp ? e.fmin(x, y) : b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, x, y);
      case Prim::kMax:
        return fp ? e.fmax(x, y) : b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, x, y);
      case Prim::kNeg:
        return fp ? b.CreateFNeg(x) : b.CreateNeg(x);
      case Prim::kAbs:
        if (fp) return intrinsic(llvm::Intrinsic::fabs, x);
        return sign ? b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, b.getFalse()) : x;
      case Prim::kSign: {
        if (fp) {
          Val one = e.constant(t, 1, n), zero = e.constant(t, 0, n);
          Val r = b.CreateSelect(b.CreateFCmpOLT(x, zero), e.constant(t, -1, n), x);  // keeps 0 and NaN
          return b.CreateSelect(b.CreateFCmpOGT(x, zero), one, r);
        }
        Val one = e.constant_int(t, 1, n), zero = e.constant_int(t, 0, n);
        Val r = sign ? b.CreateSelect(b.CreateICmpSLT(x, zero), e.constant_int(t, -1, n), zero) : zero;
        return b.CreateSelect(sign ? b.CreateICmpSGT(x, zero) : b.CreateICmpUGT(x, zero), one, r);
      }
      case Prim::kFloor:
        return fp ? intrinsic(llvm::Intrinsic::floor, x) : x;
      case Prim::kCeil:
        return fp ? intrinsic(llvm::Intrinsic::ceil, x) : x;
      case Prim::kRound:
        return fp ? intrinsic(llvm::Intrinsic::rint, x) : x;
      case Prim::kTrunc:
        return fp ? intrinsic(llvm::Intrinsic::trunc, x) : x;
      case Prim::kSqrt:
        return intrinsic(llvm::Intrinsic::sqrt, x);
      case Prim::kExp:
        return t == DType::kF32 ? e.exp(x) : per_lane("exp", t, {x});
      case Prim::kLog:
        return t == DType::kF32 ? e.log(x) : per_lane("log", t, {x});
      case Prim::kErf:
        return t == DType::kF32 ? e.erf(x) : per_lane("erf", t, {x});
      case Prim::kTanh:
        return t == DType::kF32 ? e.tanh(x) : per_lane("tanh", t, {x});
      case Prim::kSigmoid:
        return t == DType::kF32 ? e.sigmoid(x) : per_lane("sigmoid", t, {x});
      case Prim::kReciprocal:
        return b.CreateFDiv(e.constant(t, 1, n), x);
      case Prim::kSin:
      case Prim::kCos:
      case Prim::kTan:
      case Prim::kAsin:
      case Prim::kAcos:
      case Prim::kAtan: {
        const auto exactly = [&] { return per_lane(std::string(prim_info(s.prim).name).c_str(), t, {x}); };
        return t == DType::kF32 ? trigonometric(e, s.prim, x, exactly) : exactly();
      }
      case Prim::kSinh:
      case Prim::kCosh:
      case Prim::kAsinh:
      case Prim::kAcosh:
      case Prim::kAtanh:
        if (t == DType::kF32) return in_double(e, s.prim, x, nullptr);
        return per_lane(std::string(prim_info(s.prim).name).c_str(), t, {x});
      case Prim::kEq:
        return fp ? b.CreateFCmpOEQ(x, y) : b.CreateICmpEQ(x, y);
      case Prim::kLt:
        return fp ? b.CreateFCmpOLT(x, y) : sign ? b.CreateICmpSLT(x, y) : b.CreateICmpULT(x, y);
      case Prim::kLe:
        return fp ? b.CreateFCmpOLE(x, y) : sign ? b.CreateICmpSLE(x, y) : b.CreateICmpULE(x, y);
      case Prim::kAnd:
        return b.CreateAnd(x, y);
      case Prim::kOr:
        return b.CreateOr(x, y);
      case Prim::kXor:
        return b.CreateXor(x, y);
      case Prim::kNot:
        return b.CreateNot(x);
      case Prim::kShl:
      case Prim::kShr: {
        // Shifting by the width or more leaves nothing (but the sign), not LLVM's poison.
        if (const auto [low, high] = bounds(s.b); low >= 0 && high < dtype_bits(t))
          return s.prim == Prim::kShl ? b.CreateShl(x, y) : sign ? b.CreateAShr(x, y) : b.CreateLShr(x, y);
        Val inside = b.CreateICmpULT(y, e.constant_int(t, dtype_bits(t), n));
        if (s.prim == Prim::kShr && sign)
          return b.CreateAShr(x, b.CreateSelect(inside, y, e.constant_int(t, dtype_bits(t) - 1, n)));
        Val by = b.CreateSelect(inside, y, e.constant_int(t, 0, n));
        Val r = s.prim == Prim::kShl ? b.CreateShl(x, by) : b.CreateLShr(x, by);
        return b.CreateSelect(inside, r, e.constant_int(t, 0, n));
      }
      case Prim::kIsNaN:
        return fp ? b.CreateFCmpUNO(x, x) : e.constant_int(DType::kBool, 0, n);
      case Prim::kIsInf:
        return fp ? b.CreateFCmpOEQ(intrinsic(llvm::Intrinsic::fabs, x),
                                    e.constant(t, std::numeric_limits<double>::infinity(), n))
                  : e.constant_int(DType::kBool, 0, n);
      case Prim::kSelect:
        return b.CreateSelect(x, y, operand(s.c));
      case Prim::kCast: {
        const bool narrow =
            dtype_info(s.dtype).is_int && dtype_bits(s.dtype) <= 32 && (t == DType::kF32 || t == DType::kF64);
        if (const auto [low, high] = bounds(s.a); narrow && low >= -2147483648.0 && high < 2147483648.0)
          return cast_bounded(x, t, s.dtype);
        return cast(x, t, s.dtype);
      }
      case Prim::kBitcast: {
        if (t == DType::kBool) return b.CreateZExt(x, e.vec(s.dtype, n));
        if (s.dtype == DType::kBool) return b.CreateICmpNE(x, e.constant_int(t, 0, n));
        return b.CreateBitCast(x, e.vec(s.dtype, n));
      }
    }
    return x;
  }
};

}  // namespace

Val Emitter::program(const Program& p, std::span<const Val> inputs, int n) {
  StepEmitter emitter{*this, p, inputs, n, {}};
  for (const Step& s : p.steps) emitter.values.push_back(emitter.step(s));
  return emitter.values[static_cast<size_t>(p.results[0])];
}

}  // namespace lathe::codegen
