// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace lathe {

/// Writes the engine file, atomically (base/atomic_file.h), and returns its identity: 64 hexadecimal digits that
/// depend on the contents alone. A plan that a reader would refuse is an error here. The caller decides whether what
/// it made may run on this machine (engine/trust.h).
[[nodiscard]] Result<std::string> write_engine(const std::string& path, const EngineContents& contents,
                                               const std::atomic<bool>* cancel = nullptr);

/// The same bytes in memory.
[[nodiscard]] Result<std::vector<std::byte>> serialize_engine(const EngineContents& contents);

}  // namespace lathe
