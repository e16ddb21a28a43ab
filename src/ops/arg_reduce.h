// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Index (i64) of the maximum or minimum along `axis` (non-negative). ONNX ArgMax/ArgMin-13.
struct ArgReduce : OpBase<ArgReduce> {
  static constexpr std::string_view kName = "ArgReduce";
  std::string kind = "max";  ///< "max" | "min"
  int64_t axis = 0;
  bool keepdims = true;
  bool select_last = false;  ///< of equal elements take the last

  void visit(AttrVisitor& v) override {
    v.attr("kind", kind);
    v.attr("axis", axis);
    v.attr("keepdims", keepdims);
    v.attr("select_last", select_last);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
