// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// y[i…] = x[permuted i…]: output dimension d is input dimension perm[d].
struct Transpose : OpBase<Transpose> {
  static constexpr std::string_view kName = "Transpose";
  std::vector<int64_t> perm = {};

  void visit(AttrVisitor& v) override { v.attr("perm", perm); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
