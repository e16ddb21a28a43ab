// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/emitter.h"

namespace lathe::codegen {

/// exp or log of `n` lanes of f32 (in registers) or f64 (lane by lane).
inline Val elementary(Emitter& e, Prim prim, DType type, Val x) {
  if (type == DType::kF32) return prim == Prim::kExp ? e.exp(x) : e.log(x);
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  ProgramBuilder b;
  return e.program(b.finish(unary(prim, b.input(type))), {&x, 1},
                   vector ? static_cast<int>(vector->getNumElements()) : 1);
}

/// exp of numbers that are at most 0, or NaN; f32 below the smallest normal one may become 0.
inline Val exp_of_nonpositive(Emitter& e, DType type, Val x) {
  return type == DType::kF32 ? e.exp_of_nonpositive(x) : elementary(e, Prim::kExp, type, x);
}

/// `function` of all vectors (of one type) at once. An elementary function is a long chain of steps that wait for each
/// other: as the lanes of one long vector, several of them take turns.
Vals together(Emitter& e, const Vals& vectors, const std::function<Val(Val)>& function);
/// How many registers of lanes are worth passing to `program` at once.
int registers_together(const Program& program);

}  // namespace lathe::codegen
