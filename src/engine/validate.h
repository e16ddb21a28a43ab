// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/plan.h"

namespace lathe {

/// Checks every id, enum, offset and constant size in `plan`, so that the runtime can index without checking again.
/// `weight_bytes` are the blobs' sizes. kDamaged, naming the entry at fault. The compiler calls it too, before writing.
[[nodiscard]] Status validate_plan(const Plan& plan, std::span<const uint64_t> weight_bytes, uint64_t code_bytes);

}  // namespace lathe
