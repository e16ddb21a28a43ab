// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The inverse of Unpack: bytes of type unpacked_type(to), each within the range of `to`, packed.
struct Pack : OpBase<Pack> {
  static constexpr std::string_view kName = "Pack";
  DType to = DType::kI4;

  void visit(AttrVisitor& v) override { v.attr("to", to); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
