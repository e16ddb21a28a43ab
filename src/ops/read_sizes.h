// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The numbers of a small i64 tensor (rank 0 or 1) as sizes that shapes may be made of: the result is the input, and
/// its contents are `symbols` where the input's are not known. Numbers below 0 are an error when the model runs.
struct ReadSizes : OpBase<ReadSizes> {
  static constexpr std::string_view kName = "ReadSizes";
  std::vector<std::string> symbols;  ///< one for each number; unique in the graph and those around and in it

  void visit(AttrVisitor& v) override { v.attr("symbols", symbols); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  /// Shapes may need its symbols where nobody uses its result.
  [[nodiscard]] bool pure() const override { return false; }
  [[nodiscard]] bool foldable() const override { return true; }
};

}  // namespace lathe::ops
