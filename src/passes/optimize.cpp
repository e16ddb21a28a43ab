// SPDX-License-Identifier: Apache-2.0
#include "passes/coded_weights.h"
#include "passes/passes.h"
#include "passes/unfused.h"

namespace lathe {

namespace {

struct Pass {
  std::string_view name;
  Result<int> (*run)(Graph&, const PassOptions&);
};

using namespace passes;
constexpr Pass kUnpack = {"widen_packed", widen_packed}, kWiden = {"widen_half", widen_half},
               kFoldEarly = {"constant_fold_early", constant_fold_early},
               kIntegers = {"integer_arithmetic", integer_arithmetic}, kFold = {"constant_fold", constant_fold},
               kRefine = {"shape_refine", shape_refine}, kDead = {"dead_code", dead_code},
               kCommon = {"common_subexpressions", common_subexpressions}, kRules = {"rewrite_rules", rewrite_rules},
               kLayout = {"layout", layout}, kNarrow = {"narrow_weights", narrow_weights}, kFuse = {"fuse", fuse},
               kCodes = {"coded_weights", coded_weights}, kCodesEarly = {"coded_weights_early", coded_weights_early},
               kInside = {"specialize_subgraphs", specialize_subgraphs},
               kSubgraphs = {"optimize_subgraphs", optimize_subgraphs};

// Weights in codes are looked for before types of few bits are widened, and again where integers are left over.
// Rules run before the layout pass to remove what would be in its way, and after it because scales, biases and
// transposes then stand next to the operators that can take them.
constexpr Pass kPipeline[] = {kDead,      kInside,   kWiden,  kCodesEarly, kUnpack, kFoldEarly, kRefine,
                              kFoldEarly, kIntegers, kCodes,  kFold,       kRules,  kCommon,    kLayout,
                              kFold,      kCommon,   kRules,  kLayout,     kFold,   kRules,     kCommon,
                              kNarrow,    kDead,     kInside, kSubgraphs,  kFuse,   kDead};

Status run(Graph& graph, const PassOptions& options, bool fusing) {
  for (const Pass& pass : kPipeline) {
    const bool for_kernels = pass.run == fuse || pass.run == coded_weights || pass.run == coded_weights_early;
    if (for_kernels && !fusing) continue;
    const auto changes = pass.run(graph, options);
    if (!changes) return fail(changes.error().code, std::string(pass.name) + ": " + changes.error().message);
    if (options.log) options.log(pass.name, *changes);
    if (!options.verify) continue;
    if (const Status ok = verify(graph); !ok)
      return fail(ok.error().code, "after " + std::string(pass.name) + ": " + ok.error().message);
  }
  return {};
}

}  // namespace

Status optimize(Graph& graph, const PassOptions& options) { return run(graph, options, true); }

Status optimize_unfused(Graph& graph, const PassOptions& options) { return run(graph, options, false); }

}  // namespace lathe
