// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lathe/lathe.h"

namespace lathe {

/// The custom operators of this process. All functions may be called from any thread.

/// Copies domain, name and struct; takes the place of one of the same domain and name.
Status register_operator(const lathe_operator& op);
/// A copy of what is registered; its domain and name are those given. Nothing if there is none.
std::optional<lathe_operator> find_operator(std::string_view domain, std::string_view name);
/// Loads a library of operators and registers them (lathe_load_operators); they are the library's, which stays loaded.
Result<std::vector<const lathe_operator*>> load_operators(const std::string& path);

}  // namespace lathe
