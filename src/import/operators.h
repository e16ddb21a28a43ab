// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/operator_call.h"
#include "import/import.h"

namespace lathe {

/// Custom operators (lathe.h) that nodes of a model may ask for. Formats without operators of one's own pass over them.
using CustomOperators = std::vector<std::shared_ptr<const lathe_operator>>;

/// As import_model of import.h, for a program that has operators of its own.
Result<std::unique_ptr<Graph>> import_model(const std::string& path, const ImportOptions& options,
                                            const CustomOperators& operators);

}  // namespace lathe
