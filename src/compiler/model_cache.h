// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lathe/compiler.hpp"

namespace lathe::compiler {

struct CachedEngine {
  std::string path;
  bool built = false;  ///< now; otherwise it was there
  BuildReport report;  ///< of a build now
};

/// The engine of `model` from $XDG_CACHE_HOME/lathe (~/.cache/lathe), built there if it is missing or `rebuild` is
/// set. The key covers the model's bytes and those of its external data, the options that change the engine, this
/// machine's CPU and this compiler. The oldest engines are removed when the folder grows past its limit (8 GiB, or
/// LATHE_CACHE_LIMIT bytes).
Result<CachedEngine> cached_engine(const std::string& model, const BuildOptions& options, bool rebuild = false);

}  // namespace lathe::compiler
