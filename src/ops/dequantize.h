// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// Integers (and floats of 8 and 4 bits) to floats: (x - zero_point) * scale, of the scale's type. Inputs x, scale,
/// zero_point (optional); scale and zero point broadcast against x, so that "per axis" is a matter of their shape. ONNX
/// DequantizeLinear-25 without blocks.
struct Dequantize : ElementwiseOp<Dequantize> {
  static constexpr std::string_view kName = "Dequantize";
  static constexpr Signature kSignature = {2, 3, Types::kNumeric};

  [[nodiscard]] Status check(std::span<const DType> inputs) const override;
  [[nodiscard]] Expr of(Inputs x) const;
};

}  // namespace lathe::ops
