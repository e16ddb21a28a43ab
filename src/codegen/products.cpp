// SPDX-License-Identifier: Apache-2.0
// Sums of products of neighbouring small integers, with what each target has for it.
#include <llvm/IR/IntrinsicsAArch64.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "codegen/contraction.h"

namespace lathe::codegen {

namespace {

using llvm::Intrinsic::ID;

/// Sum of the products of `per` neighbouring elements of `bits` bits, in plain arithmetic.
Val plain(Emitter& e, Val sum, Val a, Val w, unsigned bits, bool a_signed) {
  const auto lanes = llvm::cast<llvm::FixedVectorType>(sum->getType())->getNumElements();
  const unsigned per = 32 / bits;
  auto* narrow = llvm::FixedVectorType::get(e.b.getIntNTy(bits), lanes * per);
  auto* wide = llvm::FixedVectorType::get(e.b.getInt32Ty(), lanes * per);
  Val x = e.b.CreateBitCast(a, narrow), y = e.b.CreateBitCast(w, narrow);
  Val products = e.b.CreateMul(a_signed ? e.b.CreateSExt(x, wide) : e.b.CreateZExt(x, wide), e.b.CreateSExt(y, wide));
  for (unsigned j = 0; j < per; ++j) {
    std::vector<int> from;
    for (unsigned i = 0; i < lanes; ++i) from.push_back(static_cast<int>(i * per + j));
    sum = e.b.CreateAdd(sum, e.b.CreateShuffleVector(products, from));
  }
  return sum;
}

Val pairs(Emitter& e, Val sum, Val a, Val w) {
  const auto lanes = llvm::cast<llvm::FixedVectorType>(sum->getType())->getNumElements();
  if (e.target.dot8_emulated) return plain(e, sum, a, w, 16, true);
  auto* halves = llvm::FixedVectorType::get(e.b.getInt16Ty(), lanes * 2);
  Val x = e.b.CreateBitCast(a, halves), y = e.b.CreateBitCast(w, halves);
  if (e.target.arch == Arch::kX86_64 && static_cast<int>(lanes) * 32 == e.target.vector_bits) {
    const ID id = lanes == 16 ? llvm::Intrinsic::x86_avx512_pmaddw_d_512 : llvm::Intrinsic::x86_avx2_pmadd_wd;
    return e.b.CreateAdd(sum, e.b.CreateIntrinsic(id, {}, {x, y}));
  }
  if (e.target.arch == Arch::kAArch64 && lanes == 4) {
    auto* four = llvm::FixedVectorType::get(e.b.getInt32Ty(), 4);
    const auto half = [&](int first) {
      const std::vector<int> from = {first, first + 1, first + 2, first + 3};
      return e.b.CreateIntrinsic(llvm::Intrinsic::aarch64_neon_smull, {four},
                                 {e.b.CreateShuffleVector(x, from), e.b.CreateShuffleVector(y, from)});
    };
    Val low = half(0), high = half(4);
    return e.b.CreateAdd(sum, e.b.CreateIntrinsic(llvm::Intrinsic::aarch64_neon_addp, {four}, {low, high}));
  }
  return plain(e, sum, a, w, 16, true);
}

Val quads(Emitter& e, Val sum, Val a, Val w) {
  const auto lanes = llvm::cast<llvm::FixedVectorType>(sum->getType())->getNumElements();
  const bool a_signed = e.target.dot8 == Dot8::kSignedBySigned;
  if (e.target.dot8_emulated || static_cast<int>(lanes) * 32 != e.target.vector_bits)
    return plain(e, sum, a, w, 8, a_signed);
  if (e.target.dot8 == Dot8::kUnsignedBySigned)
    return e.b.CreateIntrinsic(
        lanes == 16 ? llvm::Intrinsic::x86_avx512_vpdpbusd_512 : llvm::Intrinsic::x86_avx512_vpdpbusd_256, {},
        {sum, a, w});
  auto* bytes = llvm::FixedVectorType::get(e.b.getInt8Ty(), lanes * 4);
  return e.b.CreateIntrinsic(llvm::Intrinsic::aarch64_neon_sdot, {sum->getType(), bytes},
                             {sum, e.b.CreateBitCast(w, bytes), e.b.CreateBitCast(a, bytes)});
}

}  // namespace

Val add_products(Emitter& e, Steps steps, Val sum, Val a, Val w) {
  return steps == Steps::kQuads ? quads(e, sum, a, w) : pairs(e, sum, a, w);
}

}  // namespace lathe::codegen
