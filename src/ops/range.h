// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// start, start + delta, … up to limit (exclusive); inputs start, limit, delta are scalars of one type. ONNX Range-11.
struct Range : OpBase<Range> {
  static constexpr std::string_view kName = "Range";

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
