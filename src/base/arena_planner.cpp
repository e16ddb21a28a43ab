// SPDX-License-Identifier: Apache-2.0
#include "base/arena_planner.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace lathe {
namespace {

constexpr int64_t kLimit = int64_t{1} << 62;
int64_t align_up(int64_t n, int64_t align) { return (n + align - 1) & -align; }

/// Places items in the given order, each in the smallest gap that holds it; the arena's size, or -1.
int64_t place_in_order(std::span<const ArenaItem> items, std::span<const size_t> order, std::span<int64_t> offsets) {
  std::vector<size_t> placed;  // by offset
  placed.reserve(items.size());
  int64_t total = 0;
  for (size_t i : order) {
    const ArenaItem& item = items[i];
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
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), best, [&](int64_t at, size_t p) { return at < offsets[p]; }), i);
  }
  return total;
}

// Which order is best depends on the graph: large buffers first suits networks that narrow, the order of use chains.
using Before = bool (*)(const ArenaItem&, const ArenaItem&);
constexpr Before kOrders[] = {
    [](const ArenaItem& a, const ArenaItem& b) { return a.bytes > b.bytes; },
    [](const ArenaItem& a, const ArenaItem& b) {
      return static_cast<double>(a.bytes) * (a.last - a.first + 1) >
             static_cast<double>(b.bytes) * (b.last - b.first + 1);
    },
    [](const ArenaItem& a, const ArenaItem& b) { return a.first < b.first; },
};

}  // namespace

int64_t plan_arena(std::span<const ArenaItem> items, std::span<int64_t> offsets) {
  if (std::any_of(items.begin(), items.end(), [](const ArenaItem& i) { return i.bytes < 0 || i.bytes > kLimit; }))
    return -1;
  std::vector<size_t> order(items.size());
  std::vector<int64_t> trial(items.size());
  int64_t best = -1;
  for (Before before : kOrders) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return before(items[a], items[b]); });
    const int64_t total = place_in_order(items, order, trial);
    if (total < 0 || (best >= 0 && total >= best)) continue;
    best = total;
    std::copy(trial.begin(), trial.end(), offsets.begin());
  }
  return best;
}

}  // namespace lathe
