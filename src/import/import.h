// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "ir/graph.h"

namespace lathe {

struct ImportOptions {
  /// Shapes of inputs by name (`--shape name=…`), instead of those in the model. A symbol of the model that a shape
  /// fixes is fixed in all inputs.
  std::map<std::string, Shape> shapes;
  /// Inputs by name that are fixed to a value: constants of the graph, which has them as inputs no more. So a condition
  /// that depends on them is known at import.
  std::map<std::string, Tensor> values;
  /// Which of the model's functions, for formats that hold several (`--signature KEY`); empty: the main one (of a
  /// SavedModel serving_default).
  std::string signature;
  /// Largest size of one tensor; a model that needs more is refused (kUnsupported).
  size_t max_tensor_bytes = size_t{1} << 40;
};

/// Reads a model of any known format, told by its content. kDamaged: not a whole, consistent model, or its external
/// data is missing; kUnsupported: every node that cannot be imported is listed; kUsage: no such file, or `options` do
/// not fit the model. Constants of the graph may lie in the mapped file, which they keep open.
Result<std::unique_ptr<Graph>> import_model(const std::string& path, const ImportOptions& options = {});

}  // namespace lathe
