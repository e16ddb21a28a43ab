// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/lowering.h"

namespace lathe::codegen {

/// Appends the calls that compute `node` to the plan. kUnsupported (with the reason alone as text) lets the build go
/// on to list every such node.
using LowerFunction = Status (*)(Lowering&, const Node&);

#define LATHE_LOWER_ENTRY(stem) Status lower_##stem(Lowering& lowering, const Node& node);
#include "lower_list.inc"
#undef LATHE_LOWER_ENTRY

/// The lowering of a node: elementwise operators share lower_pointwise, the others have a file of the operator's stem.
LowerFunction find_lowering(const Node& node, const Graph& graph);

}  // namespace lathe::codegen
