// SPDX-License-Identifier: Apache-2.0
#include "codegen/generate.h"

namespace lathe::codegen {

Result<EngineTarget> generate(const Graph& graph, const Target& target, const LoweringOptions& options,
                              WeightPool& weights, int jobs, const std::function<bool(double)>& progress) {
  constexpr double kLoweringShare = 0.3;
  Lowering lowering(graph, target, options, weights);
  LATHE_CHECK(lowering.lower_all());
  std::vector<Lowering::Kernel> kernels;
  EngineTarget result;
  result.name = target.name;
  result.arch = target.arch == Arch::kX86_64 ? "x86_64" : "aarch64";
  result.features.assign(target.needs.begin(), target.needs.end());
  LATHE_TRY(result.plan, lowering.finish(kernels));
  if (progress && !progress(kLoweringShare)) return fail(Code::kInterrupted, "interrupted");
  LATHE_TRY(result.code, compile_kernels(target, std::move(kernels), result.plan, jobs, [&](size_t done, size_t total) {
              return !progress || progress(kLoweringShare + (1 - kLoweringShare) * static_cast<double>(done) /
                                                                static_cast<double>(total));
            }));
  return result;
}

}  // namespace lathe::codegen
