// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/output.h"
#include "lathe/compiler.hpp"

namespace lathe::cli {

/// The options of quantization, and the files of the calibration set.
struct CalibrationFlags {
  std::vector<std::string> paths;
  std::string mean, deviation;

  /// Options go to `options` as they are parsed; each is appended to `given`.
  void add_to(CLI::App& app, compiler::QuantizeOptions& options, std::vector<CLI::Option*>& given);
  /// Lists and hashes the files; they are read when the set is used. kUsage: no such file, a folder without any that
  /// can be read, or a number that is none.
  [[nodiscard]] Status fill(compiler::QuantizeOptions& options) const;
};

/// The layers that lost most (all of them with -v), the outputs, and warnings.
void print_quantization(const compiler::QuantizeReport& report, const Output& out);

}  // namespace lathe::cli
