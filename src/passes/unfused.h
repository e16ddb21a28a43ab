// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "passes/passes.h"

namespace lathe {

/// As optimize(), but elementwise work stays nodes of its own: for graphs that are written back to a file of a front
/// end's format, where named operators read better than what they were fused into.
Status optimize_unfused(Graph& graph, const PassOptions& options = {});

}  // namespace lathe
