// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

#include "ir/graph.h"
#include "lathe/compiler.hpp"
#include "passes/passes.h"

namespace lathe::compiler {

/// Whether `pattern`, a layer's name or its beginning and a star, means the layer `name`.
bool matches(std::string_view name, std::string_view pattern);

/// Makes the float layers of `graph` integer ones, as options.precision ("int8", "mixed") and options.quantize say.
/// The graph has been through optimize_unfused(); afterwards it holds pairs of Quantize and Dequantize. Runs the
/// calibration set on this machine. `progress` returns false to stop.
lathe::Result<QuantizeReport> quantize_graph(Graph& graph, const BuildOptions& options, Math math,
                                             const std::function<bool(double)>& progress);

}  // namespace lathe::compiler
