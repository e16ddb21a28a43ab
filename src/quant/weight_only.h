// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "quant/weight_codes.h"

namespace lathe::quant {

/// A product of activations with constant weights that can be coded.
struct CodedLayer {
  NodeId node = kNoId;
  ValueId input = kNoId;
  std::string name;
  int64_t k = 0, columns = 0;
  double flops = 0;
  std::string why_not;  ///< it keeps its floats: the rule that says so
};

/// Products in `graph`, which optimize_unfused() has been over, in the order in which they run.
std::vector<CodedLayer> find_coded_layers(const Graph& graph);
/// The layer's weights as [columns, k].
Tensor layer_weights(const Graph& graph, const CodedLayer& layer);
/// The layer multiplies codes instead of its weights; other nodes keep their ids.
Status code_layer(Graph& graph, const CodedLayer& layer, const WeightCodes& codes, int64_t block);

/// A table of vectors that rows are taken from (an embedding).
struct Table {
  NodeId node = kNoId;
  std::string name;
  double error = 0;  ///< as WeightCodes::error
};
/// Rows become i8, each with a scale, and floats again where they are taken.
Result<std::vector<Table>> code_tables(Graph& graph);

}  // namespace lathe::quant
