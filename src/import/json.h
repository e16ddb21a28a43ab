// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/status.h"

namespace lathe::importer {

/// JSON from a file; kDamaged, beginning with `what`, if it is none or brackets lie more than 200 deep in each other.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view what);

}  // namespace lathe::importer
