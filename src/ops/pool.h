// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Sliding-window pooling, channels last: x[N, h, w, C] → y[N, oh, ow, C]. Padding never enters a maximum; an average
/// counts it only if count_include_pad (ONNX AveragePool-22; windows hanging over with ceil_mode count what lies inside
/// the padded input). Sums of 8-bit integers are i32, of 16-bit ones i64.
struct Pool : OpBase<Pool> {
  static constexpr std::string_view kName = "Pool";
  std::string kind = "max";  ///< "max" | "average" | "sum"
  std::vector<int64_t> kernel = {1, 1};
  std::vector<int64_t> strides = {1, 1};
  std::vector<int64_t> pads = {0, 0, 0, 0};  ///< begins, then ends
  std::vector<int64_t> dilations = {1, 1};
  bool ceil_mode = false;
  bool count_include_pad = false;

  void visit(AttrVisitor& v) override {
    v.attr("kind", kind);
    v.attr("kernel", kernel);
    v.attr("strides", strides);
    v.attr("pads", pads);
    v.attr("dilations", dilations);
    v.attr("ceil_mode", ceil_mode);
    v.attr("count_include_pad", count_include_pad);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
