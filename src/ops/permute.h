// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Inputs x, perm (i64, one element a dimension): a Transpose whose order is data. Dimension d of the result is
/// dimension perm[d] of x. How operators with computed axes become those with known ones.
struct Permute : OpBase<Permute> {
  static constexpr std::string_view kName = "Permute";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
