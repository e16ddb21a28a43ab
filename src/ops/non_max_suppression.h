// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Boxes kept by greedy suppression: inputs boxes[batch, n, 4], scores[batch, classes, n], max_output_boxes_per_class?,
/// iou_threshold?, score_threshold? → i64 [count, 3] of (batch, class, box). ONNX NonMaxSuppression-11. The count
/// depends on data: a fresh symbol.
struct NonMaxSuppression : OpBase<NonMaxSuppression> {
  static constexpr std::string_view kName = "NonMaxSuppression";
  bool center_point_box = false;  ///< boxes are (x, y, w, h) instead of two corners (y1, x1, y2, x2)

  void visit(AttrVisitor& v) override { v.attr("center_point_box", center_point_box); }
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
