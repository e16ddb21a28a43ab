// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/status.h"
#include "compiler/table.h"

namespace lathe::cli {

/// liblathe_compiler.so, loaded when first asked for: commands that only run engines never pay for LLVM. kFailed says
/// where it was looked for, or what it lacks.
[[nodiscard]] Result<const compiler::Table*> compiler_library();
/// The file that compiler_library() would load, or "" if none is there.
[[nodiscard]] std::string compiler_library_path();
/// The folder that this executable is in.
[[nodiscard]] std::string executable_folder();

[[nodiscard]] Error as_error(const compiler::Failure& failure);

}  // namespace lathe::cli
