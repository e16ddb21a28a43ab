// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Scaled dot-product attention: q[B, H, Lq, D], k[B, Hk, Lk, D], v[B, Hk, Lk, Dv], mask (optional, added to the
/// scores, broadcast to [B, H, Lq, Lk]) → [B, H, Lq, Dv]; H is a multiple of Hk (grouped queries). softmax(q k^T *
/// scale + mask) v, computed row by row without the score matrix. Made by a rewrite from MatMul/Softmax, or by ONNX
/// Attention-23. With `heads_last` head and position are exchanged in q, k, v and the result: q is [B, Lq, H, D] and so
/// on, which is how projections leave them, so that no transpose is needed.
struct Attention : OpBase<Attention> {
  static constexpr std::string_view kName = "Attention";
  double scale = 1.0;
  bool causal = false;        ///< position i sees keys up to i + Lk - Lq
  bool k_transposed = false;  ///< k is [B, Hk, D, Lk]; not together with heads_last
  bool heads_last = false;

  void visit(AttrVisitor& v) override {
    v.attr("scale", scale);
    v.attr("causal", causal);
    v.attr("k_transposed", k_transposed);
    v.attr("heads_last", heads_last);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
