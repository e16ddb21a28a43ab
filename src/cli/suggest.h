// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lathe::cli {

/// The name of `names` with the fewest edits to `wanted`, or "" when none is near.
std::string nearest(std::string_view wanted, std::span<const std::string> names);
/// ` (did you mean "…"?)`, or "".
std::string did_you_mean(std::string_view wanted, std::span<const std::string> names);

}  // namespace lathe::cli
