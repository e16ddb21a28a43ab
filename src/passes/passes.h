// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace lathe {

/// How far results may differ from those of the model as written (DESIGN section 4).
enum class Math : uint8_t {
  kStrict,   ///< no approximations; sums may be reordered
  kDefault,  ///< as strict in the graph; Winograd and the like in the kernels
  kFast      ///< rules that approximate, too
};

struct PassOptions {
  Math math = Math::kDefault;
  DType weights = DType::kF32;  ///< f16 or bf16: constant weights are rounded to it (narrow_weights)
  /// Verify the graph after every pass (debug builds and tests): an error names the pass.
  bool verify = false;
  /// Told after every pass: its name and how many changes it made.
  std::function<void(std::string_view pass, int changes)> log;
};

/// Rewrites `graph` into what the planner takes: few, large operators, channels last, elementwise work in epilogues.
/// Values keep their meaning; names of the user's model stay on the values that survive.
Status optimize(Graph& graph, const PassOptions& options = {});

/// The passes, each one file. They return how many changes they made.
namespace passes {

/// f16 and bf16 values become f32 inside the graph; inputs and outputs keep their types.
Result<int> widen_half(Graph& g, const PassOptions& options);
Result<int> widen_packed(Graph& g, const PassOptions& options);
/// Replaces nodes whose inputs are constants by their results, and values whose contents are known by constants.
Result<int> constant_fold(Graph& g, const PassOptions& options);
/// As constant_fold, but dequantized constants stay what they are.
Result<int> constant_fold_early(Graph& g, const PassOptions& options);
/// Operators on dequantized values become integer operators and scales.
Result<int> integer_arithmetic(Graph& g, const PassOptions& options);
/// Infers shapes and contents again in order, so that what became known spreads.
Result<int> shape_refine(Graph& g, const PassOptions& options);
/// Graphs that nodes hold: constants and known sizes move in, an If of known condition is replaced by its branch.
Result<int> specialize_subgraphs(Graph& g, const PassOptions& options);
/// Runs the whole pipeline on the graphs that nodes hold.
Result<int> optimize_subgraphs(Graph& g, const PassOptions& options);
/// Merges equal constants and equal nodes of equal inputs.
Result<int> common_subexpressions(Graph& g, const PassOptions& options);
/// Removes what no output needs.
Result<int> dead_code(Graph& g, const PassOptions& options);
/// Applies the rules of src/rewrite/rules until none fits.
Result<int> rewrite_rules(Graph& g, const PassOptions& options);
/// Moves transposes towards the outputs until they cancel, vanish or cost least; those that move no data become
/// reshapes.
Result<int> layout(Graph& g, const PassOptions& options);
/// Constant weights of products and convolutions become values that a narrower float holds.
Result<int> narrow_weights(Graph& g, const PassOptions& options);
/// Joins elementwise nodes into Pointwise ones, and these into the epilogues of their anchors.
Result<int> fuse(Graph& g, const PassOptions& options);

}  // namespace passes
}  // namespace lathe
