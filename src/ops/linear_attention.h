// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Attention with a recurrent state instead of scores: q[B, T, H*dk], k[B, T, Hk*dk], v[B, T, Hk*dv], state? [B, Hk,
/// dk, dv], decay? (factors; [B, T, Hk] or [B, T, Hk*dk]), beta? ([B, T, Hk] or [B, T, 1]) → y[B, T, H*dv], the last
/// state. For each step S = decay * S; S += k outer (v, or with beta beta * (v - S^T k)); y = scale * S^T q. Query
/// heads share key heads in groups. ONNX LinearAttention-27, the decay's exponential taken already.
struct LinearAttention : OpBase<LinearAttention> {
  static constexpr std::string_view kName = "LinearAttention";
  int64_t q_heads = 1;
  int64_t kv_heads = 1;
  double scale = 1.0;

  void visit(AttrVisitor& v) override {
    v.attr("q_heads", q_heads);
    v.attr("kv_heads", kv_heads);
    v.attr("scale", scale);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
