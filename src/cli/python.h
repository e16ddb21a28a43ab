// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lathe::cli {

struct Python {
  std::string program;  ///< absolute path
  std::string path;     ///< PYTHONPATH with which it finds the package `lathe`
};

/// A Python that has the package: LATHE_PYTHON if set, else the active virtual environment's, `python3` or `python`
/// of PATH. In a build folder the package beside this executable is used.
[[nodiscard]] Result<Python> python_with_lathe();

/// Becomes `python -m <module> <args>`. Returns only if that fails.
[[nodiscard]] Status become_python(const Python& python, const std::string& module, std::vector<std::string> args);

}  // namespace lathe::cli
