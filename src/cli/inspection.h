// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/status.h"
#include "cli/output.h"

namespace lathe::cli {

/// All that can be told of an engine file without running it:
/// {"engine", "identity", "signed", "file_bytes", "weight_bytes", "provenance", "inputs", "outputs", "symbols",
///  "targets": [{"name", "arch", "needs", "runs_here", "code_bytes", "arena_bytes", "nodes": [{"instruction", "node",
///  "op", "tactic", "kernel", "where", "precision", "flops", "bytes"}]}]}. Inputs, outputs and symbols are those of
/// the first target; all targets share them.
[[nodiscard]] Result<Json> inspect_engine(const std::string& path);

/// For a terminal. `nodes`: with the table of nodes.
std::string inspection_text(const Json& inspection);
/// One page without references to anything outside itself.
std::string inspection_html(const Json& inspection, const std::string& title);
/// The instructions and buffers of the first target's plan, one a line.
[[nodiscard]] Result<std::string> plan_text(const std::string& path);

}  // namespace lathe::cli
