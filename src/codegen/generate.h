// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "codegen/lowering.h"
#include "engine/engine.h"

namespace lathe::codegen {

/// Optimised graph → plan and code for one target; packed weights go to `weights`. `progress(done)`, 0 … 1, may be
/// empty; returning false stops with kInterrupted.
Result<EngineTarget> generate(const Graph& graph, const Target& target, const LoweringOptions& options,
                              WeightPool& weights, int jobs, const std::function<bool(double)>& progress);

}  // namespace lathe::codegen
