// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/plan.h"

namespace lathe {

/// What an engine holds for one kind of machine.
struct EngineTarget {
  std::string name;                   ///< x86-64-avx2, aarch64-dotprod … (for people; choosing goes by features)
  std::string arch;                   ///< as HostCpu::arch
  std::vector<std::string> features;  ///< what the code needs, as HostCpu::features
  Plan plan;
  std::vector<std::byte> code;  ///< position independent, no relocations; entry points are PlanKernel::code_offset
};

/// All that goes into an engine file. Weight blobs are shared by the targets and referred to by their index.
struct EngineContents {
  std::vector<std::pair<std::string, std::string>> provenance;  ///< no time, path or host: builds are reproducible
  std::vector<EngineTarget> targets;
  std::vector<std::span<const std::byte>> weights;
};

}  // namespace lathe
