// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "import/file_bytes.h"
#include "import/import.h"

namespace lathe::keras {

/// Whether the entries of a zip archive are those of a .keras file.
bool looks_like_archive(const importer::FileBytes& file);

/// Imports a whole model that Keras saved: a .keras archive (config.json and model.weights.h5) or a .h5 file (attribute
/// model_config). Sequential and functional models, nested ones included; `name` is for messages.
Result<std::unique_ptr<Graph>> import_keras(const importer::FileBytes& file, const std::string& name,
                                            const ImportOptions& options);

}  // namespace lathe::keras
