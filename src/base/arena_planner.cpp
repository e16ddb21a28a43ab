// SPDX-License-Identifier: Apache-2.0
#include "base/arena_planner.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace lathe {
namespace {

constexpr int64_t kLimit = int64_t{1} << 62;
int64_t align_up(int64_t n, int64_t align) { return (n + align - 1) & -align; }

}  // namespace

int64_t plan_arena(std::span<const ArenaItem> items, std::span<int64_t> offsets) {
  std::vector<size_t> by_size(items.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return items[a].bytes > items[b].bytes; });

  std::vector<size_t> placed;  // by offset
  placed.reserve(items.size());
  int64_t total = 0;
  for (size_t i : by_size) {
    const ArenaItem& item = items[i];
    if (item.bytes < 0 || item.bytes > kLimit) return -1;
    int64_t best = -1, best_gap = INT64_MAX, free_from = 0;
    for (size_t p : placed) {
      const ArenaItem& other = items[p];
      if (other.last < item.first || item.last < other.first) continue;
      const int64_t start = align_up(free_from, item.align);
      const int64_t gap = offsets[p] - start;
      if (gap >= item.bytes && gap < best_gap) {
        best = start;
        best_gap = gap;
      }
      free_from = std::max(free_from, offsets[p] + other.bytes);
    }
    if (best < 0) best = align_up(free_from, item.align);
    if (best > kLimit - item.bytes) return -1;
    offsets[i] = best;
    total = std::max(total, best + item.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), best,
                                   [&](int64_t at, size_t p) { return at < offsets[p]; }),
                  i);
  }
  return total;
}

}  // namespace lathe
