// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Input 1 as it is, if input 0 (bool, one element) is true; else running the model is an error: what the graph takes
/// for granted.
struct Require : OpBase<Require> {
  static constexpr std::string_view kName = "Require";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] bool pure() const override { return false; }
  [[nodiscard]] bool foldable() const override { return true; }
};

}  // namespace lathe::ops
