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
/// As interrupted(), and forgets it: the next Ctrl-C sets the flag again.
[[nodiscard]] bool take_interrupt();

}  // namespace lathe::cli
