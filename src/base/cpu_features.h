// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// The machine this process runs on.
struct HostCpu {
  std::string arch;                   ///< x86_64, aarch64, riscv64 …
  std::string model;                  ///< brand string, "" if unknown
  std::vector<std::string> features;  ///< sorted; LLVM's names; only those the operating system lets a program use
  [[nodiscard]] bool has(std::string_view feature) const;
};

/// Read once, then cached; thread-safe.
[[nodiscard]] const HostCpu& host_cpu();

/// Worker threads worth having: the CPUs this process may use (affinity), limited by the cgroup's CPU quota.
[[nodiscard]] int usable_cpus();

}  // namespace lathe
