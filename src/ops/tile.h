// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Repeats x along every dimension: y.dim[d] = x.dim[d] * repeats[d]. ONNX Tile-13.
struct Tile : OpBase<Tile> {
  static constexpr std::string_view kName = "Tile";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
