// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// a[…, M, K] × wᵀ → […, M, N] in f32, where w is stored in codes of 8 bits and less:
///
///     w[n, k] = (code[n, k] - zero[n, k / block]) * scale[n, k / block]
///
/// Inputs a, code [N, K] (i8, u8, f8e4m3fn), scale f32 [N, blocks], zero (optional, of the code's type, [N, blocks]),
/// with blocks = ceil(K / block). Codes that fit 4 bits (i8 in [-8, 7], u8 in [0, 15], floats that f4e2m1 holds) are
/// stored in 4 bits by the kernels. ONNX MatMul of a blocked DequantizeLinear-21, com.microsoft MatMulNBits.
struct CodedMatMul : OpBase<CodedMatMul> {
  static constexpr std::string_view kName = "CodedMatMul";
  int64_t block = 1;

  void visit(AttrVisitor& v) override { v.attr("block", block); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
