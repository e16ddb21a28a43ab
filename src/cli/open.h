// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/calibration.h"
#include "cli/output.h"
#include "lathe/compiler.hpp"
#include "runtime/engine.h"

namespace lathe::cli {

/// The options of `lathe build` that every command takes which builds a model on the way.
struct BuildFlags {
  compiler::BuildOptions options;
  CalibrationFlags calibration;
  std::vector<std::string> shape, value, min_shape, opt_shape, max_shape;  ///< "name=1x3x224x224"
  std::vector<std::string> operators;                                      ///< libraries of custom operators
  std::vector<CLI::Option*> given;  ///< all of them: which were used is asked of them after parsing

  void add_to(CLI::App& app);
  /// The options with the shapes filled in and the operators loaded. kUsage: a shape that is none.
  [[nodiscard]] Result<compiler::BuildOptions> parsed() const;
  /// Loads and registers the custom operators; appends them.
  [[nodiscard]] Status load_operators(std::vector<const lathe_operator*>& out) const;
};

/// One line about what `--tune` did, one for each target that was left out, one for each way that computed wrong.
Json tuning_json(const compiler::TuningReport& tuning);
void print_tuning(const compiler::TuningReport& tuning, const Output& out);

/// "name=1x3" → {name, "1x3"}, at the last '='.
Result<std::pair<std::string, std::string>> split_assignment(const std::string& text, const char* option);

/// The file begins as engines do, or is called *.lathe (so that a damaged engine is reported as one).
bool is_engine_file(const std::string& path);

struct Opened {
  Engine::Ref engine;
  std::string path;  ///< of the engine file
  bool from_model = false;
  double load_seconds = 0, build_seconds = 0;  ///< build_seconds: 0 if the engine was there
};

/// Opens an engine, or builds a model (into the cache, with a progress bar) and opens that. Ctrl-C while building ends
/// with kInterrupted.
[[nodiscard]] Result<Opened> open_engine_or_model(const std::string& path, const BuildFlags& build,
                                                  const EngineOptions& options, const Output& out);

/// Runs `work` with options whose progress draws the bar and stops on Ctrl-C.
[[nodiscard]] Status with_progress(compiler::BuildOptions options, const Output& out,
                                   const std::function<Status(const compiler::BuildOptions&)>& work);

}  // namespace lathe::cli
