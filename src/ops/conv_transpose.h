// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Transposed convolution, channels last: x[N, h, w, C], w[M/group, kh, kw, C] (OHWI: M output channels; the importer
/// transposes ONNX's [C, M/group, kh, kw]) (+ b[M]) → y[N, oh, ow, M]; oh = (h-1)*stride + output_padding +
/// (kh-1)*dilation + 1 - pads. For group > 1 the weight is [M, kh, kw, C/group].
/// Integers as in Conv.
struct ConvTranspose : OpBase<ConvTranspose> {
  static constexpr std::string_view kName = "ConvTranspose";
  std::vector<int64_t> strides = {1, 1};
  std::vector<int64_t> pads = {0, 0, 0, 0};  ///< begins, then ends
  std::vector<int64_t> dilations = {1, 1};
  std::vector<int64_t> output_padding = {0, 0};
  int64_t group = 1;
  int64_t x_zero = 0, w_zero = 0;  ///< of integers

  void visit(AttrVisitor& v) override {
    v.attr("strides", strides);
    v.attr("pads", pads);
    v.attr("dilations", dilations);
    v.attr("output_padding", output_padding);
    v.attr("group", group);
    v.attr("x_zero", x_zero);
    v.attr("w_zero", w_zero);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
