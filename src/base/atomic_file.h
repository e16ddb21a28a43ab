// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace lathe {

/// Writes `pieces`, one after another, as the file `path`: readers see the old file or the complete new one, also after
/// a crash. Written beside `path`, synced, renamed; on failure (kFailed, disk full included) or when `*cancel` becomes
/// true (kInterrupted) nothing is left behind and the old file is as it was. A `path` that exists and is no regular
/// file (/dev/stdout) is written to directly.
[[nodiscard]] Status write_file_atomically(const std::string& path, std::span<const std::span<const std::byte>> pieces,
                                           const std::atomic<bool>* cancel = nullptr);

}  // namespace lathe
