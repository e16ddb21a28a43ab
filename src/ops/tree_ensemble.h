// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Decision trees over the rows of x [N, F] (f32 or f64): each row follows every tree to a leaf, whose (target, weight)
/// pairs are combined by target → [N, targets] of x's type. The trees are constants:
///   nodes   i32 [n, 4]: feature, mode (TreeMode; + kMissingTrue), the child where the comparison holds, the other
///   splits  x's type [n]: what the feature is compared with
///   roots   i32 [trees]
///   offsets i32 [leaves + 1], targets i32 [w], weights of x's type [w]: leaf i owns entries offsets[i] … offsets[i+1]
/// A child or root c >= 0 is a node, and comes after its parent; c < 0 is leaf ~c. ONNX ai.onnx.ml TreeEnsemble-5.
struct TreeEnsemble : OpBase<TreeEnsemble> {
  static constexpr std::string_view kName = "TreeEnsemble";
  int64_t targets = 1;
  std::string aggregate = "sum";  ///< "sum" | "average" (by the number of trees) | "min" | "max"; no leaf: 0

  void visit(AttrVisitor& v) override {
    v.attr("targets", targets);
    v.attr("aggregate", aggregate);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

/// How a node compares its feature x with its split s. kMissingTrue is added where NaN follows the true branch.
enum TreeMode : int32_t {
  kTreeLessOrEqual = 0,
  kTreeLess = 1,
  kTreeGreaterOrEqual = 2,
  kTreeGreater = 3,
  kTreeEqual = 4,
  kTreeNotEqual = 5,
  kMissingTrue = 8
};

}  // namespace lathe::ops
