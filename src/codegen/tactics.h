// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "ir/graph.h"

namespace lathe::codegen {

/// Decides where a lowering may go several ways. The ways differ in speed and, under default math, in rounding as
/// Winograd's do; never otherwise.
class TacticChooser {
 public:
  virtual ~TacticChooser() = default;
  /// `key` names the computation: equal keys want equal decisions, in this build and in later ones. `tactics`: the
  /// ways, the cost model's choice first, at least two; their names are stable too. Returns an index.
  virtual size_t choose(const Graph& graph, const Node& node, const std::string& key,
                        std::span<const std::string> tactics) = 0;
};

}  // namespace lathe::codegen
