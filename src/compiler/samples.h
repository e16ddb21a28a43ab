// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "lathe/compiler.hpp"

namespace lathe::compiler {

/// One input of one run, as the engine takes it.
struct SampleArray {
  std::vector<int64_t> dims;
  std::vector<std::byte> data;
};
/// The inputs of one run, in the order of graph.inputs.
struct Sample {
  std::vector<SampleArray> inputs;
  std::string name;
};

/// The calibration set cut into runs: arrays of several times an input's size are several samples. kUsage names the
/// batch, the input, and what is wrong with it: unknown, missing, of another type or shape, not finite, empty set.
/// Inputs that never change are warned of.
lathe::Result<std::vector<Sample>> load_samples(const Graph& graph, const CalibrationSet& set,
                                                std::vector<std::string>& warnings);

/// The picture fitted to an input of these sizes: a dimension of 1 or 3 beside the first or at the end counts channels,
/// a symbolic size is the picture's own, the first dimension is 1.
lathe::Result<SampleArray> fit_image(const CalibrationArray& image, const ImageOptions& options, DType dtype,
                                     const Shape& shape);

}  // namespace lathe::compiler
