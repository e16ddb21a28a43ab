// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// The bits of x as another type of the same size. `from`: the type whose bits are meant where x is computed in a wider
/// one (kUndefined: x's own). ONNX BitCast-26.
struct BitCast : ElementwiseOp<BitCast> {
  static constexpr std::string_view kName = "BitCast";
  static constexpr Signature kSignature = {1, 1, Types::kNumericOrBool};
  DType to = DType::kI32;
  DType from = DType::kUndefined;

  void visit(AttrVisitor& v) override {
    v.attr("to", to);
    v.attr("from", from);
  }
  [[nodiscard]] Status check(std::span<const DType> inputs) const override;
  [[nodiscard]] Expr of(Inputs x) const;
};

}  // namespace lathe::ops
