// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Inputs x, starts, ends, axes (optional), steps (optional): ONNX Slice-13 (numpy semantics, negative steps,
/// clamping).
struct Slice : OpBase<Slice> {
  static constexpr std::string_view kName = "Slice";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
