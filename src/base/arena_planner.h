// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace lathe {

/// A buffer that must live from instruction `first` to instruction `last`, both included.
struct ArenaItem {
  int64_t bytes = 0;
  int32_t align = 64;  ///< a power of two
  int32_t first = 0, last = 0;
};

/// Gives items offsets such that those alive together never overlap, and returns the arena's size (-1 if it would
/// exceed 2^62). Greedy with best fit, in three orders of which the best counts, after Pisarchyk and Lee, "Efficient
/// Memory Management for Deep Neural Net Inference" (2020). Depends on its arguments alone, so the compiler's
/// prediction and the runtime's placement agree.
[[nodiscard]] int64_t plan_arena(std::span<const ArenaItem> items, std::span<int64_t> offsets);

}  // namespace lathe
