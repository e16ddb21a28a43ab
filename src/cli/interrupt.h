// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lathe::cli {

/// While one exists, the first Ctrl-C (or SIGTERM) sets a flag instead of ending the process; a second one ends it.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

[[nodiscard]] bool interrupted();

}  // namespace lathe::cli
