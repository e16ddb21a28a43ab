// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// x[N, C, spatial…] read at the places grid[N, out…, d] names (the last coordinate first) → [N, C, out…]. ONNX
/// GridSample-22. Interpolation is separable: one, two or four neighbours a dimension.
struct GridSample : OpBase<GridSample> {
  static constexpr std::string_view kName = "GridSample";
  std::string mode = "linear";    ///< nearest | linear | cubic
  std::string padding = "zeros";  ///< outside: zeros | border | reflection
  bool align_corners = false;
  bool normalized = true;  ///< places in [-1, 1] over the image; else in elements

  void visit(AttrVisitor& v) override {
    v.attr("mode", mode);
    v.attr("padding", padding);
    v.attr("align_corners", align_corners);
    v.attr("normalized", normalized);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
