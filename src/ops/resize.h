// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// Resamples every dimension of x by scales or to sizes (ONNX Resize-19; the importer folds roi/scales/sizes into these
/// attributes when constant; else they are inputs 1 … 3: scales f32 [rank], sizes i64 [rank], roi f32 [2 * rank], each
/// optional, and every size of the result depends on data). Only the attributes' dimensions differ from 1. Layout-free:
/// works on any axes.
struct Resize : OpBase<Resize> {
  static constexpr std::string_view kName = "Resize";
  std::vector<double> scales =
      {};  ///< output/input per dimension as the coordinate transformation uses it; empty: from sizes
  std::vector<int64_t> sizes = {};        ///< output sizes per dimension; empty: floor(input*scale)
  std::string mode = "nearest";           ///< nearest | linear | cubic
  std::string coordinate = "half_pixel";  ///< ONNX coordinate_transformation_mode
  std::string nearest_mode = "round_prefer_floor";
  double cubic_coeff_a = -0.75;
  bool exclude_outside = false;
  double extrapolation = 0.0;
  bool antialias = false;
  std::string aspect_policy = "stretch";  ///< keep_aspect_ratio_policy
  std::vector<double> roi = {};           ///< for tf_crop_and_resize: starts then ends

  void visit(AttrVisitor& v) override {
    v.attr("scales", scales);
    v.attr("sizes", sizes);
    v.attr("mode", mode);
    v.attr("coordinate", coordinate);
    v.attr("nearest_mode", nearest_mode);
    v.attr("cubic_coeff_a", cubic_coeff_a);
    v.attr("exclude_outside", exclude_outside);
    v.attr("extrapolation", extrapolation);
    v.attr("antialias", antialias);
    v.attr("aspect_policy", aspect_policy);
    v.attr("roi", roi);
  }
  /// An input element and its share of an output element.
  struct Tap {
    int64_t index;
    double weight;
  };
  /// For each of the `m` output positions of dimension d (of `rank`, n elements in the input) the taps that make it;
  /// none where it lies outside the input and takes the extrapolation value. Empty if the dimension is left as it is.
  [[nodiscard]] std::vector<std::vector<Tap>> taps(size_t d, size_t rank, int64_t n, int64_t m) const;

  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
};

}  // namespace lathe::ops
