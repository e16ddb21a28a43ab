// SPDX-License-Identifier: Apache-2.0
#include "codegen/elementary.h"

#include <llvm/Analysis/VectorUtils.h>

#include <algorithm>
#include <numeric>

namespace lathe::codegen {

Vals together(Emitter& e, const Vals& vectors, const std::function<Val(Val)>& function) {
  const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(vectors[0]->getType());
  if (vectors.size() == 1 || !type) {
    Vals results;
    for (Val v : vectors) results.push_back(function(v));
    return results;
  }
  Val result = function(llvm::concatenateVectors(e.b, vectors));
  Vals parts;
  std::vector<int> lanes(type->getNumElements());
  std::iota(lanes.begin(), lanes.end(), 0);
  for (size_t i = 0; i < vectors.size(); ++i) {
    parts.push_back(e.b.CreateShuffleVector(result, lanes));
    for (int& lane : lanes) lane += static_cast<int>(lanes.size());
  }
  return parts;
}

int registers_together(const Program& program) {
  int registers = 1;
  for (const Step& s : program.steps) {
    switch (s.prim) {
      case Prim::kExp:
      case Prim::kTanh:
      case Prim::kSigmoid:
        registers = registers == 1 ? 4 : registers;
        break;
      case Prim::kLog:
      case Prim::kErf:
      case Prim::kPow:
      case Prim::kSin:
      case Prim::kCos:
      case Prim::kTan:
      case Prim::kAsin:
      case Prim::kAcos:
      case Prim::kAtan:
      case Prim::kSinh:
      case Prim::kCosh:
      case Prim::kAsinh:
      case Prim::kAcosh:
      case Prim::kAtanh:
        registers = 2;
        break;
      default:
        break;
    }
  }
  // Functions of f64 and remainders are calls, a lane at a time.
  const bool calls = std::any_of(program.steps.begin(), program.steps.end(), [](const Step& s) {
    return s.dtype == DType::kF64 || s.prim == Prim::kFmod || s.prim == Prim::kMod;
  });
  return calls ? 1 : registers;
}

}  // namespace lathe::codegen
