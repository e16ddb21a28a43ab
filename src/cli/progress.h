// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "cli/output.h"

namespace lathe::cli {

/// One line on stderr with stage, percentage and time left; nothing unless stderr is a terminal. The line is erased
/// when the bar goes out of scope.
class ProgressBar {
 public:
  explicit ProgressBar(const Output& out);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `done` of `stage`, 0 … 1.
  void update(const char* stage, double done);

 private:
  using Clock = std::chrono::steady_clock;
  bool visible_;
  std::string stage_;
  Clock::time_point stage_began_, drawn_;
};

}  // namespace lathe::cli
