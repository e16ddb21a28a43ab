// SPDX-License-Identifier: Apache-2.0
#include "base/arena_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace lathe {
namespace {

struct Planned {
  std::vector<int64_t> offsets;
  int64_t total;
};

Planned plan(const std::vector<ArenaItem>& items) {
  Planned p{std::vector<int64_t>(items.size()), 0};
  p.total = plan_arena(items, p.offsets);
  return p;
}

TEST(BaseArenaPlanner, buffers_that_are_not_alive_together_share_memory) {
  EXPECT_EQ(plan({{.bytes = 640, .first = 0, .last = 1}, {.bytes = 640, .first = 2, .last = 3}}).total, 640);
  EXPECT_EQ(plan({{.bytes = 640, .first = 0, .last = 1}, {.bytes = 640, .first = 1, .last = 2}}).total, 1280);
  EXPECT_EQ(plan({}).total, 0);
}

TEST(BaseArenaPlanner, a_chain_needs_little_more_than_its_two_largest_neighbours) {
  std::vector<ArenaItem> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({.bytes = 1024 * (1 + i % 3), .first = i, .last = i + 1});
  EXPECT_GE(plan(chain).total, 5 * 1024);
  EXPECT_LE(plan(chain).total, 6 * 1024);
}

TEST(BaseArenaPlanner, what_is_alive_together_never_overlaps) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<ArenaItem> items(1 + random() % 40);
    for (ArenaItem& i : items) {
      i.bytes = random() % 10000;
      i.align = 1 << (random() % 9);
      i.first = static_cast<int32_t>(random() % 30);
      i.last = i.first + static_cast<int32_t>(random() % 8);
    }
    const Planned p = plan(items);
    for (size_t a = 0; a < items.size(); ++a) {
      EXPECT_EQ(p.offsets[a] % items[a].align, 0);
      EXPECT_LE(p.offsets[a] + items[a].bytes, p.total);
      for (size_t b = 0; b < a; ++b) {
        const bool together = items[a].first <= items[b].last && items[b].first <= items[a].last;
        const bool apart =
            p.offsets[a] + items[a].bytes <= p.offsets[b] || p.offsets[b] + items[b].bytes <= p.offsets[a];
        EXPECT_TRUE(!together || apart) << "round " << round << ": items " << a << " and " << b;
      }
    }
  }
}

TEST(BaseArenaPlanner, sizes_beyond_reason_are_refused) {
  const int64_t huge = int64_t{1} << 61;
  EXPECT_EQ(plan({{.bytes = huge}, {.bytes = huge}, {.bytes = huge}}).total, -1);
  EXPECT_EQ(plan({{.bytes = -1}}).total, -1);
}

}  // namespace
}  // namespace lathe
