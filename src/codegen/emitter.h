// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ir/dim.h"
#include "ir/program.h"
#include "target/target.h"

namespace lathe::codegen {

using Val = llvm::Value*;
using Vals = std::vector<Val>;

/// Builds one kernel (see engine/kernel_abi.h) as LLVM IR: loops, loads, arithmetic as C++ calls. Indices are i64,
/// memory is addressed in bytes. Floating-point contraction to FMA is allowed, nothing else that changes results.
/// One Emitter = one function in one module of its own context; not thread-safe, independent of other Emitters.
class Emitter {
 public:
  /// `scalars`: the symbolic dimensions that the kernel receives, in the order of its `scalars` argument.
  Emitter(const Target& target, const std::string& name, std::vector<Dim> scalars);

  const Target& target;
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  llvm::IRBuilder<> b;
  llvm::Function* function = nullptr;

  // --- the kernel's arguments
  Val buf(int i);  ///< bufs[i]; loaded once in the entry block, noalias against the others
  Val begin() { return function->getArg(3); }
  Val end() { return function->getArg(4); }
  Val scratch();                           ///< this thread's scratch
  Val dim(const Dim& d);                   ///< a constant, or computed from `scalars`, in the entry block
  Val symbol_slot(int i);                  ///< address of context->symbols[i]
  Val grow(int buffer, Val bytes);         ///< calls context->grow; the memory
  void fault_if(Val condition, int code);  ///< stores the fault and returns from the kernel

  // --- types
  [[nodiscard]] int lanes() const { return target.f32_lanes(); }  ///< 32-bit lanes of a vector register
  llvm::Type* type(DType t);                                      ///< of one element in registers (bool: i1)
  llvm::Type* memory_type(DType t);                               ///< in memory (bool: i8)
  llvm::Type* vec(DType t, int n) {
    return n == 1 ? type(t) : static_cast<llvm::Type*>(llvm::FixedVectorType::get(type(t), static_cast<unsigned>(n)));
  }

  // --- constants
  Val i64(int64_t v) { return b.getInt64(static_cast<uint64_t>(v)); }
  Val f32(double v) { return llvm::ConstantFP::get(b.getFloatTy(), v); }
  Val constant(DType t, double v, int n = 1);
  Val constant_int(DType t, int64_t v, int n = 1);
  Val splat(Val scalar, int n) { return n == 1 ? scalar : b.CreateVectorSplat(static_cast<unsigned>(n), scalar); }

  // --- index arithmetic (folded when constant)
  Val add(Val x, Val y) { return b.CreateNSWAdd(x, y); }
  Val sub(Val x, Val y) { return b.CreateNSWSub(x, y); }
  Val mul(Val x, Val y) { return b.CreateNSWMul(x, y); }
  Val mul(Val x, int64_t y) { return b.CreateNSWMul(x, i64(y)); }
  Val div(Val x, Val y) { return b.CreateUDiv(x, y); }  ///< both non-negative
  Val rem(Val x, Val y) { return b.CreateURem(x, y); }
  Val imin(Val x, Val y) { return b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, y); }
  Val imax(Val x, Val y) { return b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, y); }

  // --- memory: pointer + byte offset
  Val at(Val p, Val byte_offset) { return b.CreateGEP(b.getInt8Ty(), p, byte_offset); }
  Val at(Val p, int64_t byte_offset) { return byte_offset ? at(p, i64(byte_offset)) : p; }
  /// n elements from p; `mask` (<n x i1>, or null: all) leaves unmasked lanes zero. Alignment: of the element.
  Val load(DType t, Val p, int n = 1, Val mask = nullptr);
  void store(DType t, Val v, Val p, Val mask = nullptr);
  Val load_aligned(DType t, Val p, int n, int alignment);
  Val alloca_bytes(int64_t bytes);  ///< in the entry block
  void prefetch(Val p, int locality = 3);
  /// <n x i1> with the first `count` lanes set (count: i64).
  Val lane_mask(Val count, int n);

  // --- arithmetic on f32/f64 scalars or vectors
  Val fma(Val x, Val y, Val z) { return b.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z}); }
  /// k[0] x^(N-1) + … + k[N-1], by Horner's rule.
  template <size_t N>
  Val poly(Val x, const std::array<double, N>& k);
  Val fmax(Val x, Val y);  ///< NaN propagates
  Val fmin(Val x, Val y);
  Val reduce_add(Val v);  ///< sum of lanes, pairwise (fixed order)
  Val reduce_max(Val v);
  Val exp(Val x);  ///< f32, <= 2 ULP, full range, denormals and NaN kept
  /// exp of f32 that are at most 0 (or NaN), <= 2 ULP; results below the smallest normal float may be 0.
  Val exp_of_nonpositive(Val x);
  Val log(Val x);
  Val erf(Val x);      ///< f32, <= 4 ULP
  Val tanh(Val x);     ///< f32, <= 4 ULP
  Val sigmoid(Val x);  ///< f32, <= 3 ULP; results below the smallest normal float may be 0
  /// Result 0 of the program for vectors (or scalars) of `n` lanes; inputs in registers, of the program's dtypes.
  Val program(const Program& p, std::span<const Val> inputs, int n);

  // --- control flow
  /// for (i = lo; i < hi; i += step) carrying SSA values: body(i, carried) returns their next values. Zero trips give
  /// `init`. A loop of at most one constant trip is emitted straight.
  Vals loop(Val lo, Val hi, int64_t step, Vals init, const std::function<Vals(Val, const Vals&)>& body);
  void for_each(Val lo, Val hi, int64_t step, const std::function<void(Val)>& body);
  /// Vector iteration over [0, count): body(i, n, mask) with n = `width` lanes and no mask, then the tail: one masked
  /// step where the target has masks, else single elements (n = 1).
  void for_vectors(Val count, int width, const std::function<void(Val, int, Val)>& body);
  /// As for_vectors, carrying values of `width` lanes that the body updates only in active lanes; on targets without
  /// masks the tail is loaded into a zero-padded buffer by the body's own masked load (emulated).
  void if_then(Val condition, const std::function<void()>& then);
  Vals if_else(Val condition, const std::function<Vals()>& then, const std::function<Vals()>& otherwise);
  void ret();

 private:
  Val entry(const std::function<Val()>& make);  ///< emits in the entry block
  // Masked access lane by lane, without branches: lanes that are off read zeros and write where nobody looks.
  [[nodiscard]] bool wants_lanes(DType t, Val mask) const;
  Val lane_or(Val mask, int lane, Val there, Val otherwise);
  Val zeros();
  std::vector<Dim> scalars_;
  Vals bufs_, scalar_values_;
  Val scratch_ = nullptr, zeros_ = nullptr, dump_ = nullptr;
  llvm::BasicBlock* entry_block_ = nullptr;
  llvm::BasicBlock* body_block_ = nullptr;
};

template <size_t N>
Val Emitter::poly(Val x, const std::array<double, N>& k) {
  Val r = llvm::ConstantFP::get(x->getType(), k[0]);
  for (size_t i = 1; i < N; ++i) r = fma(r, x, llvm::ConstantFP::get(x->getType(), k[i]));
  return r;
}

}  // namespace lathe::codegen
