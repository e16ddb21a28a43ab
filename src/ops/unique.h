// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The different rows of x[n, width] → the index of the first of each (i64 [u]), for each row which one it is (i64
/// [n]), how often each occurs (i64 [u]). In the order of the rows, compared element by element, or (not `sorted`) of
/// their first occurrence. NaNs are equal, and above all numbers. ONNX Unique-11; the rows themselves are a Gather.
struct Unique : OpBase<Unique> {
  static constexpr std::string_view kName = "Unique";
  bool sorted = true;

  void visit(AttrVisitor& v) override { v.attr("sorted", sorted); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
