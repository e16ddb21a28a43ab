// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "import/import.h"

namespace lathe::importer {

/// An input as a model declares it.
struct ModelInput {
  std::string name;
  DType dtype = DType::kUndefined;
  std::optional<Shape> shape;  ///< absent: the model does not say
};

/// Adds an input to the graph, or a constant where `options.values` fixes it; `options.shapes` replaces its shape.
/// kUsage where what is given does not fit, kUnsupported without any shape, kDamaged where the size is impossible.
Result<ValueId> add_model_input(Graph& graph, const ModelInput& input, const ImportOptions& options);

/// kUsage if `options` names an input that is not among `names`.
Status check_input_names(const ImportOptions& options, const std::vector<std::string>& names);

}  // namespace lathe::importer
