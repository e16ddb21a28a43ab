// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Reads regions of images on a regular grid: x[N, C, H, W], rois[R, 4] (x1, y1, x2, y2; times `scale` they are in
/// elements), image[R] (i64, which image) → [R, C, height, width]. Each cell is the average (or maximum) of `samples`²
/// places within it, interpolated between four elements; 0 samples: as many as the cell has elements. Places more than
/// one element outside are 0. A region of no image gives zeros. ONNX RoiAlign-16, torchvision roi_align; He et al.,
/// Mask R-CNN.
struct RoiAlign : OpBase<RoiAlign> {
  static constexpr std::string_view kName = "RoiAlign";
  /// More places than these along a cell are not read: the region is no region.
  static constexpr int64_t kMostSamples = 4096;
  std::string kind = "average";  ///< average | max: of the weighted elements themselves, as ONNX has it
  int64_t height = 1, width = 1;
  int64_t samples = 0;
  double scale = 1;
  bool half_pixel = true;  ///< elements have their centres at halves; else regions have at least the size 1

  void visit(AttrVisitor& v) override {
    v.attr("kind", kind);
    v.attr("height", height);
    v.attr("width", width);
    v.attr("samples", samples);
    v.attr("scale", scale);
    v.attr("half_pixel", half_pixel);
  }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
