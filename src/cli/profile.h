// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "cli/output.h"
#include "engine/plan.h"

namespace lathe::cli {

/// The time of each instruction of `plan`, in nanoseconds of one run.
struct Profile {
  const Plan& plan;
  std::span<const double> nanoseconds;
};

/// Chrome's trace format (chrome://tracing, Perfetto): the instructions one after another.
Json chrome_trace(const Profile& profile);
/// Slowest kernels first: time, share, GFLOP/s, GB/s, operator, tactic, node. At most `rows` of them (0: all).
std::string profile_table(const Profile& profile, size_t rows);

}  // namespace lathe::cli
