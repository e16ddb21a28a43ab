// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace lathe::cli {

ProgressBar::ProgressBar(const Output& out) : visible_(isatty(STDERR_FILENO) && !out.quiet) {}

ProgressBar::~ProgressBar() {
  if (visible_) fmt::print(stderr, "\r\033[K");
}

void ProgressBar::update(const char* stage, double done) {
  if (!visible_) return;
  const auto now = Clock::now();
  const bool new_stage = stage_ != stage;
  if (new_stage) {
    stage_ = stage;
    stage_began_ = now;
  }
  if (!new_stage && done < 1 && now - drawn_ < std::chrono::milliseconds(80)) return;
  drawn_ = now;

  constexpr int kWidth = 28;
  const double share = std::isfinite(done) ? std::clamp(done, 0.0, 1.0) : 0;
  const int filled = static_cast<int>(share * kWidth);
  const double spent = std::chrono::duration<double>(now - stage_began_).count();
  const std::string left =
      share > 0.02 && spent > 0.5 ? human_seconds(std::max(1.0, spent * (1 - share) / share)) + " left" : "";
  const bool colour = stderr_colour();
  fmt::print(stderr, "\r\033[K{:<9} {:>3.0f} % {}{:━<{}}{}{:━<{}}{} {}", stage_, share * 100, colour ? "\033[32m" : "",
             "", filled, colour ? "\033[90m" : "", "", colour ? kWidth - filled : 0, colour ? "\033[0m" : "", left);
  std::fflush(stderr);
}

}  // namespace lathe::cli
