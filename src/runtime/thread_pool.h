// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace lathe {

/// A group of workers lent to one caller for the length of a run. Work is split into chunks that whoever is free
/// takes; the caller always works too, and never waits for a worker that has not begun: a busy machine costs speed,
/// never progress, and nested or concurrent callers cannot deadlock.
class Team {
 public:
  /// Computes tasks [begin, end) on lane `lane` (0 is the caller's; below the team's size at any time).
  using Function = void (*)(void* context, int64_t lane, int64_t begin, int64_t end);

  /// A team of up to `threads` threads, the caller included: fewer while workers are busy with others, which
  /// parallel_for looks after each time.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  [[nodiscard]] int size() const { return size_; }
  /// Returns when all of [0, tasks) are done. Not to be called by two threads at once.
  void parallel_for(int64_t tasks, Function function, void* context);

  struct Shared;

 private:
  Shared* shared_ = nullptr;
  int size_ = 1, wanted_ = 1;
};

/// The most threads a team can have.
inline constexpr int kMaxThreads = 256;

}  // namespace lathe
