// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "compiler/model_cache.h"
#include "lathe/compiler.hpp"

namespace lathe::compiler {

/// What a program calls that loads liblathe_compiler.so with dlopen, so that running an engine costs no LLVM. Both
/// sides are of one build: `version` must equal the caller's LATHE_VERSION and `size` sizeof(Table).
struct Table {
  size_t size;
  const char* version;
  Result<BuildReport> (*build)(const std::string& model, const std::string& engine, const BuildOptions& options);
  Result<CachedEngine> (*cached_engine)(const std::string& model, const BuildOptions& options, bool rebuild);
  Result<int> (*export_timings)(const std::string& path);
  Result<int> (*import_timings)(const std::string& path);
  std::vector<TargetInfo> (*targets)();
  Result<std::string> (*graph_text)(const std::string& model, const BuildOptions& options, bool optimised);
  Result<ConvertReport> (*convert)(const std::string& model, const std::string& output, const BuildOptions& options);
  Result<QuantizedModel> (*quantize)(const std::string& model, const std::string& output, const BuildOptions& options);
};

}  // namespace lathe::compiler

extern "C" const lathe::compiler::Table* lathe_compiler_table();
