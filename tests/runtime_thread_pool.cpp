// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_pool.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/cpu_features.h"

namespace lathe::test {
namespace {

/// Counts how often each task is done and on how many lanes at most.
struct Count {
  std::vector<std::atomic<int>> done;
  std::atomic<int64_t> highest_lane{0};
  explicit Count(size_t tasks) : done(tasks) {}
  static void run(void* self, int64_t lane, int64_t begin, int64_t end) {
    auto& c = *static_cast<Count*>(self);
    for (int64_t i = begin; i < end; ++i) ++c.done[static_cast<size_t>(i)];
    for (int64_t seen = c.highest_lane; seen < lane && !c.highest_lane.compare_exchange_weak(seen, lane);) {
    }
  }
  [[nodiscard]] bool each(int times) const {
    for (const auto& d : done)
      if (d != times) return false;
    return true;
  }
};

TEST(RuntimeThreadPool, every_task_is_done_once) {
  for (int threads : {1, 2, 3, 7, 16}) {
    Team team(threads);
    EXPECT_LE(team.size(), threads);
    for (size_t tasks : {size_t{0}, size_t{1}, size_t{2}, size_t{5}, size_t{64}, size_t{10001}}) {
      Count count(tasks);
      team.parallel_for(static_cast<int64_t>(tasks), Count::run, &count);
      EXPECT_TRUE(count.each(1)) << tasks << " tasks, " << threads << " threads";
      EXPECT_LT(count.highest_lane, team.size());
    }
  }
}

TEST(RuntimeThreadPool, many_jobs_follow_each_other) {  // more than the job number's 16 bits
  Team team(3);
  Count count(8);
  for (int i = 0; i < 70000; ++i) team.parallel_for(8, Count::run, &count);
  EXPECT_TRUE(count.each(70000));
}

TEST(RuntimeThreadPool, callers_share_the_workers_without_waiting_for_each_other) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&wrong, c] {
      for (int i = 0; i < 300; ++i) {
        Team team(1 + (i + c) % 5);
        Count count(37);
        for (int job = 0; job < 5; ++job) team.parallel_for(37, Count::run, &count);
        if (!count.each(5)) ++wrong;
      }
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(wrong, 0);
}

TEST(RuntimeThreadPool, a_task_may_have_a_team_of_its_own) {
  Team outer(3);
  std::atomic<int> wrong{0};
  outer.parallel_for(
      12,
      [](void* w, int64_t, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          Team inner(3);
          Count count(20);
          inner.parallel_for(20, Count::run, &count);
          if (!count.each(1)) ++*static_cast<std::atomic<int>*>(w);
        }
      },
      &wrong);
  EXPECT_EQ(wrong, 0);
}

TEST(RuntimeThreadPool, sleeping_workers_wake_up) {
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Team team(4);
    Count count(1000);
    team.parallel_for(1000, Count::run, &count);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // asleep in the team
    team.parallel_for(1000, Count::run, &count);
    EXPECT_TRUE(count.each(2));
  }
}

#if !defined(__SANITIZE_THREAD__)
TEST(RuntimeThreadPool, a_forked_child_has_a_pool_of_its_own) {
  Team before(3);
  Count count(100);
  before.parallel_for(100, Count::run, &count);
  const pid_t child = fork();
  if (child == 0) {
    Team team(3);
    Count mine(100);
    team.parallel_for(100, Count::run, &mine);
    _exit(mine.each(1) && team.size() == 3 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

TEST(RuntimeThreadPool, at_least_one_cpu_is_usable) { EXPECT_GE(usable_cpus(), 1); }

}  // namespace
}  // namespace lathe::test
