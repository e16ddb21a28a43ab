// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/onnx/node.h"

/// Axes that the model computes while it runs, expressed in operators whose axes are known: a permutation that is data
/// brings the dimensions in question to the end, and integer arithmetic makes the shapes.
namespace lathe::onnx {

/// Whether input i holds axes that are known only when the model runs.
bool computed(const Node& n, size_t i);
/// How many axes input i holds.
Result<int64_t> axis_count(const Node& n, size_t i);

struct ComputedAxes {
  ValueId mask = kNoId;   ///< i64 [rank]: 1 where the dimension is one of the axes
  ValueId order = kNoId;  ///< i64 [rank]: the other dimensions, then the axes
  ValueId axes = kNoId;   ///< i64 [count], not negative
};
/// The axes in input i, for a tensor of `rank` dimensions.
Result<ComputedAxes> computed_axes(Node& n, size_t i, int64_t rank);
/// The vector `values` (one element an axis) spread over all `rank` dimensions, `otherwise` elsewhere.
ValueId spread(Node& n, ValueId axes, ValueId values, ValueId otherwise);
/// An i64 vector of `count` equal elements.
ValueId repeated(Node& n, int64_t value, int64_t count);
ValueId shape_of(Node& n, ValueId x);

Result<Values> reduce_computed(Node& n, ValueId x);
Result<Values> squeeze_computed(Node& n);
Result<Values> unsqueeze_computed(Node& n);

}  // namespace lathe::onnx
