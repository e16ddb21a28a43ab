// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Slices of x chosen by index tuples: the last dimension of indices holds coordinates into x's dimensions after the
/// `batch_dims` shared ones. ONNX GatherND-13.
struct GatherND : OpBase<GatherND> {
  static constexpr std::string_view kName = "GatherND";
  int64_t batch_dims = 0;

  void visit(AttrVisitor& v) override { v.attr("batch_dims", batch_dims); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
