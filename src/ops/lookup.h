// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// A table: inputs x (any shape), keys [n] of x's type, sorted ascending without doubles (NaN, which equals itself
/// here, last), values [n], and the value of x's elements that are no key (a scalar). Keys are f32, f64, i32 or i64.
/// ONNX ai.onnx.ml LabelEncoder-4.
struct Lookup : OpBase<Lookup> {
  static constexpr std::string_view kName = "Lookup";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
