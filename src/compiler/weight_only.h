// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "ir/graph.h"
#include "lathe/compiler.hpp"
#include "passes/passes.h"

namespace lathe::compiler {

/// Whether the precision is one of w8, w4, wfp8, wfp4.
bool is_weight_only(const std::string& precision);
/// What is wrong with the options for such a precision.
lathe::Status check_weight_options(const BuildOptions& options);

/// Constant weights of matrix products become codes, as options.precision says. `graph` has been through
/// optimize_unfused(). With a calibration set codes are chosen by what the weights multiply there, and layers that cost
/// more than options.quantize.max_loss get codes of 8 bits, or keep their floats; without one they are the nearest.
lathe::Result<QuantizeReport> code_weights_of(Graph& graph, const BuildOptions& options, Math math,
                                              const std::function<bool(double)>& progress);

}  // namespace lathe::compiler
