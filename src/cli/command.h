// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/status.h"
#include "cli/output.h"

namespace lathe::cli {

/// What a subcommand does once its arguments are parsed. Its error's code is the exit code.
using Body = std::function<Status(const Output&)>;

/// The subcommands. Each file of src/cli/commands/ defines `void add_<stem>(Commands&)`, which calls add() once and
/// declares its options on the result.
class Commands {
 public:
  explicit Commands(CLI::App& root) : root_(root) {}
  /// `example`: command lines shown below the options by --help.
  CLI::App& add(const std::string& name, const std::string& summary, const std::string& example, Body body);
  /// Runs the subcommand that was parsed.
  [[nodiscard]] Status run() const;
  [[nodiscard]] const Output& output() const { return out_; }

 private:
  CLI::App& root_;
  Output out_;
  Body chosen_;
};

}  // namespace lathe::cli
