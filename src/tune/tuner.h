// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "codegen/lowering.h"
#include "tune/timing_cache.h"

namespace lathe::tune {

enum class Effort : uint8_t {
  kFast,  ///< the likeliest ways, within a minute for a network of the size of ResNet-50
  kFull   ///< all ways, more rounds, no limit of time
};

struct TuneReport {
  int decisions = 0;  ///< that the graph leaves open
  int known = 0;      ///< of these, taken from the cache
  int measured = 0;   ///< timed now
  int changed = 0;    ///< differ from the cost model's choice
  bool complete = true;
  std::vector<std::string> rejected;  ///< ways whose results were wrong: node and tactic
};

/// Decides a graph's tactics by what was measured; asks nothing of the machine itself.
class Tuned final : public codegen::TacticChooser {
 public:
  size_t choose(const Graph& graph, const Node& node, const std::string& key,
                std::span<const std::string> tactics) override;
  std::map<std::string, std::string> tactic_by_key;
};

/// Measures the decisions that the lowering of `graph` for `target` (which must run here) leaves open and that `cache`
/// does not know, and stores each as soon as it is made. `progress(done)`, 0 … 1: returning false ends the measuring;
/// what was found until then is used. Deterministic but for the timings.
Result<TuneReport> tune(const Graph& graph, const Target& target, const codegen::LoweringOptions& options,
                        Effort effort, TimingCache& cache, const std::function<bool(double)>& progress, Tuned& result);

}  // namespace lathe::tune
