// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Indices of the elements that are not zero: i64 [rank, count], in row-major order. ONNX NonZero-13. The count depends
/// on data: a fresh symbol.
struct NonZero : OpBase<NonZero> {
  static constexpr std::string_view kName = "NonZero";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
