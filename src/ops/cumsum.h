// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Running sum or product along the axis given as input 1 (a scalar). ONNX CumSum-14, CumProd-26.
struct CumSum : OpBase<CumSum> {
  static constexpr std::string_view kName = "CumSum";
  bool exclusive = false;  ///< element i sums those before it
  bool reverse = false;    ///< from the end
  bool product = false;

  void visit(AttrVisitor& v) override {
    v.attr("exclusive", exclusive);
    v.attr("reverse", reverse);
    v.attr("product", product);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
