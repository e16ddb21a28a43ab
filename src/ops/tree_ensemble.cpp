// SPDX-License-Identifier: Apache-2.0
#include "ops/tree_ensemble.h"

#include <algorithm>
#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

enum Input : size_t { kX, kNodes, kSplits, kRoots, kOffsets, kTargets, kWeights, kInputs };

bool holds(int64_t mode, double x, double split) {
  if (std::isnan(x) && (mode & kMissingTrue)) return true;
  switch (mode & 7) {
    case kTreeLessOrEqual:
      return x <= split;
    case kTreeLess:
      return x < split;
    case kTreeGreaterOrEqual:
      return x >= split;
    case kTreeGreater:
      return x > split;
    case kTreeEqual:
      return x == split;
    default:
      return x != split;
  }
}

}  // namespace

Result<std::vector<ValueInfo>> TreeEnsemble::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, kInputs, kInputs));
  const DType t = inputs[kX].dtype;
  if (t != DType::kF32 && t != DType::kF64) return fail(Code::kUsage, "x must be f32 or f64");
  if (inputs[kX].rank() != 2) return fail(Code::kUsage, "x " + shape_str(inputs[kX].shape) + " must be of rank 2");
  if (targets < 1 || targets > 1 << 24) return fail(Code::kUsage, "targets is out of range");
  if (aggregate != "sum" && aggregate != "average" && aggregate != "min" && aggregate != "max")
    return fail(Code::kUsage, "aggregate \"" + aggregate + "\" is not known");
  const auto expect = [&](size_t i, DType dtype, int64_t rank) -> Status {
    if (inputs[i].dtype != dtype || inputs[i].rank() != rank || !is_static(inputs[i].shape))
      return fail(Code::kUsage, "input " + std::to_string(i) + " has the wrong type or shape");
    return {};
  };
  LATHE_CHECK(expect(kNodes, DType::kI32, 2));
  LATHE_CHECK(expect(kSplits, t, 1));
  LATHE_CHECK(expect(kWeights, t, 1));
  for (const size_t i : {kRoots, kOffsets, kTargets}) LATHE_CHECK(expect(i, DType::kI32, 1));
  if (!(inputs[kNodes].shape[0] == inputs[kSplits].shape[0]) || !inputs[kNodes].shape[1].equals(4) ||
      !(inputs[kTargets].shape[0] == inputs[kWeights].shape[0]) || inputs[kOffsets].shape[0].value() < 1)
    return fail(Code::kUsage, "the trees' tables do not fit each other");
  return one(t, {inputs[kX].shape[0], targets});
}

Result<std::vector<Tensor>> TreeEnsemble::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[kX];
  const int64_t rows = x.dims()[0], features = x.dims()[1], nodes = inputs[kNodes].dims()[0];
  const int64_t leaves = inputs[kOffsets].dims()[0] - 1, pairs = inputs[kTargets].dims()[0];
  const int64_t trees = inputs[kRoots].dims()[0];
  Tensor y = Tensor::zeros(x.dtype(), {rows, targets});
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> sum(static_cast<size_t>(targets), 0);
    std::vector<bool> hit(sum.size(), false);
    for (int64_t tree = 0; tree < trees; ++tree) {
      int64_t at = inputs[kRoots].i64_at(tree);
      for (int64_t before = -1; at >= 0;) {
        if (at <= before || at >= nodes) return fail(Code::kUsage, "a node's child does not come after it");
        const int64_t feature = inputs[kNodes].i64_at(4 * at), mode = inputs[kNodes].i64_at(4 * at + 1);
        if (feature < 0 || feature >= features)
          return fail(Code::kUsage, "feature " + std::to_string(feature) + " of " + std::to_string(features));
        before = at;
        const bool yes = holds(mode, x.f64_at(row * features + feature), inputs[kSplits].f64_at(at));
        at = inputs[kNodes].i64_at(4 * at + (yes ? 2 : 3));
      }
      const int64_t leaf = ~at;
      if (leaf >= leaves) return fail(Code::kUsage, "there is no leaf " + std::to_string(leaf));
      const int64_t first = inputs[kOffsets].i64_at(leaf), last = inputs[kOffsets].i64_at(leaf + 1);
      if (first < 0 || last > pairs) return fail(Code::kUsage, "a leaf's weights are out of range");
      for (int64_t i = first; i < last; ++i) {
        const int64_t target = inputs[kTargets].i64_at(i);
        if (target < 0 || target >= targets) return fail(Code::kUsage, "there is no target " + std::to_string(target));
        const auto k = static_cast<size_t>(target);
        const double w = inputs[kWeights].f64_at(i);
        if (aggregate == "min" || aggregate == "max")
          sum[k] = !hit[k] ? w : aggregate == "min" ? std::min(sum[k], w) : std::max(sum[k], w);
        else
          sum[k] += w;
        hit[k] = true;
      }
    }
    for (size_t k = 0; k < sum.size(); ++k)
      y.set(row * targets + static_cast<int64_t>(k),
            aggregate == "average" ? sum[k] / static_cast<double>(trees) : sum[k]);
  }
  return one(std::move(y));
}

double TreeEnsemble::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  // A comparison a level, of about log2(nodes / trees) levels, in each tree.
  const auto rows = inputs[kX].shape[0].as_const();
  const auto trees = static_cast<double>(inputs[kRoots].shape[0].value());
  const auto nodes = static_cast<double>(inputs[kNodes].shape[0].value());
  return rows ? static_cast<double>(*rows) * trees * std::log2(2 + nodes / std::max(trees, 1.0)) : 0;
}

const OpInfo& op_tree_ensemble() { return op_info<TreeEnsemble>(); }

}  // namespace lathe::ops
