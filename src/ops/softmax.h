// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// exp(x - max) / sum along `axis` (non-negative). ONNX Softmax-13; with `log` its logarithm (LogSoftmax-13).
struct Softmax : OpBase<Softmax> {
  static constexpr std::string_view kName = "Softmax";
  int64_t axis = 0;
  bool log = false;

  void visit(AttrVisitor& v) override {
    v.attr("axis", axis);
    v.attr("log", log);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
