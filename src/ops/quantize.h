// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// Floats to integers (of 2 to 16 bits): saturate(round_half_even(x / scale) + zero_point); to floats of 8 and 4 bits:
/// saturate(x / scale + zero_point). Inputs x, scale, zero_point (optional, of
/// type `to`); scale and zero point broadcast against x, so that "per axis" is a matter of their shape. ONNX
/// QuantizeLinear-25 without blocks.
struct Quantize : ElementwiseOp<Quantize> {
  static constexpr std::string_view kName = "Quantize";
  static constexpr Signature kSignature = {2, 3, Types::kNumeric};
  DType to = DType::kU8;

  void visit(AttrVisitor& v) override { v.attr("to", to); }
  [[nodiscard]] Status check(std::span<const DType> inputs) const override;
  [[nodiscard]] Expr of(Inputs x) const;
};

}  // namespace lathe::ops
