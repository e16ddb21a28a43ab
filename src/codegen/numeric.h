// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "codegen/emitter.h"

namespace lathe::codegen {

/// Arithmetic on elements of one dtype as anchors compute it: half floats in f32, everything else in its own type, or
/// integers in a wider one.
struct Numeric {
  Emitter& e;
  DType memory;
  DType type = memory == DType::kF16 || memory == DType::kBF16 ? DType::kF32 : memory;

  /// What can be computed: floats of 16 to 64 bits and whole-byte integers.
  static bool supports(DType t) {
    const DTypeInfo& i = dtype_info(t);
    return t == DType::kF16 || t == DType::kBF16 ||
           ((i.is_float || i.is_int) && i.bits >= 8 && (!i.is_float || i.bits >= 32));
  }
  static bool is_float(DType t) { return dtype_info(t).is_float; }

  [[nodiscard]] bool fp() const { return dtype_info(type).is_float; }
  [[nodiscard]] bool is_signed() const { return dtype_info(type).is_signed; }
  [[nodiscard]] int64_t bytes() const { return dtype_bits(memory) / 8; }
  /// Lanes of a full register of the type computed in.
  [[nodiscard]] int lanes() const { return e.target.vector_bits / dtype_bits(type); }

  Val load(Val p, int n, Val mask = nullptr) {
    Val v = e.load(memory, p, n, mask);
    if (memory == type) return v;
    return fp() ? e.b.CreateFPExt(v, e.vec(type, n))
                : e.b.CreateIntCast(v, e.vec(type, n), dtype_info(memory).is_signed);
  }
  /// `to`: the dtype in memory where it is not this one (an epilogue's result).
  void store(Val v, Val p, Val mask = nullptr) {
    if (memory != type) {
      auto* vt = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
      v = e.b.CreateFPTrunc(v, e.vec(memory, vt ? static_cast<int>(vt->getNumElements()) : 1));
    }
    e.store(memory, v, p, mask);
  }
  Val constant(double v, int n) { return e.constant(type, v, n); }
  Val add(Val x, Val y) { return fp() ? e.b.CreateFAdd(x, y) : e.b.CreateAdd(x, y); }
  Val sub(Val x, Val y) { return fp() ? e.b.CreateFSub(x, y) : e.b.CreateSub(x, y); }
  Val mul(Val x, Val y) { return fp() ? e.b.CreateFMul(x, y) : e.b.CreateMul(x, y); }
  /// x*y + z
  Val muladd(Val x, Val y, Val z) { return fp() ? e.fma(x, y, z) : e.b.CreateAdd(e.b.CreateMul(x, y), z); }
  Val div(Val x, Val y) {
    return fp() ? e.b.CreateFDiv(x, y) : is_signed() ? e.b.CreateSDiv(x, y) : e.b.CreateUDiv(x, y);
  }
  Val max(Val x, Val y) {
    if (fp()) return e.fmax(x, y);
    return e.b.CreateBinaryIntrinsic(is_signed() ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, x, y);
  }
  Val min(Val x, Val y) {
    if (fp()) return e.fmin(x, y);
    return e.b.CreateBinaryIntrinsic(is_signed() ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, x, y);
  }
  Val abs(Val x) {
    if (fp()) return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
    return is_signed() ? e.b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, e.b.getFalse()) : x;
  }
  Val sqrt(Val x) { return e.b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x); }
  /// The value that no maximum keeps.
  Val lowest(int n) {
    if (fp()) return constant(-std::numeric_limits<double>::infinity(), n);
    return e.splat(
        llvm::ConstantInt::get(e.type(type),
                               is_signed() ? llvm::APInt::getSignedMinValue(static_cast<unsigned>(dtype_bits(type)))
                                           : llvm::APInt::getZero(static_cast<unsigned>(dtype_bits(type)))),
        n);
  }
  Val highest(int n) {
    if (fp()) return constant(std::numeric_limits<double>::infinity(), n);
    return e.splat(
        llvm::ConstantInt::get(e.type(type),
                               is_signed() ? llvm::APInt::getSignedMaxValue(static_cast<unsigned>(dtype_bits(type)))
                                           : llvm::APInt::getMaxValue(static_cast<unsigned>(dtype_bits(type)))),
        n);
  }
  /// An i64 as this type.
  Val from_index(Val i) {
    if (fp()) return e.b.CreateSIToFP(i, e.type(type));
    return e.b.CreateIntCast(i, e.type(type), true);
  }
};

}  // namespace lathe::codegen
