// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace lathe::quant {

/// An operator that may multiply integers: a Conv, or a MatMul whose second operand is a constant.
struct Layer {
  NodeId node = kNoId;
  ValueId input = kNoId;   ///< the activations
  ValueId result = kNoId;  ///< its output, behind the elementwise work that only it feeds: what is compared
  size_t group = 0;        ///< of `input`
  std::string name, op;
  double flops = 0;
};

/// Values that share a scale, because data only moves between them (Reshape, Concat, MaxPool …): they are quantized
/// where they are made, and everything behind moves bytes.
struct Group {
  std::vector<ValueId> roots;  ///< what is made by arithmetic, or is an input of the graph
};

struct Scheme {
  std::vector<Layer> layers;  ///< in the order in which they run
  std::vector<Group> groups;
};

/// All that could be quantized in `graph`, which optimize_unfused() has been over.
Scheme find_scheme(const Graph& graph);

}  // namespace lathe::quant
