// SPDX-License-Identifier: Apache-2.0
// Weights of matrix products and convolutions become values that f16 or bf16 holds; the kernels then store them in half
// the memory and widen them as they multiply. Sums stay in f32.
//
// A tensor keeps its f32 values where the narrow type would lose more than a few of its last bits: f16 ends at 65504
// and has fewer and fewer digits below 2^-14.
#include <map>

#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/matmul.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

constexpr double kMostError = 0x1p-8;  // of all elements together (root of the mean square), as a share of their size

bool has_weights(const Node& n) { return n.as<ops::MatMul>() || n.as<ops::Conv>() || n.as<ops::ConvTranspose>(); }

/// Nothing where too much would be lost.
std::optional<Tensor> rounded(const Tensor& w, DType type) {
  const auto narrow = [&](float v) {
    return type == DType::kF16 ? half_to_float(float_to_half(v)) : bf16_to_float(float_to_bf16(v));
  };
  std::vector<float> values = w.to_f32();
  double size = 0, error = 0;
  for (float& v : values) {
    const float r = narrow(v);
    size += static_cast<double>(v) * v;
    error += (static_cast<double>(r) - v) * (static_cast<double>(r) - v);
    v = r;
  }
  if (!(error <= size * kMostError * kMostError)) return std::nullopt;  // an infinity, too
  return Tensor::of<float>(DType::kF32, w.dims(), values);
}

}  // namespace

Result<int> narrow_weights(Graph& g, const PassOptions& options) {
  if (options.weights != DType::kF16 && options.weights != DType::kBF16) return 0;
  int changes = 0;
  std::map<ValueId, ValueId> done;  // weights that several nodes share stay one
  for (const NodeId n : g.order()) {
    if (!has_weights(g.node(n))) continue;
    const ValueId v = g.node(n).inputs[1];
    const auto& constant = g.value(v).constant;
    if (!constant || g.value(v).dtype != DType::kF32) continue;
    auto [at, first] = done.emplace(v, v);
    if (first) {
      if (auto narrow = rounded(*constant, options.weights))
        at->second = g.add_constant(g.value(v).name, *std::move(narrow));
    }
    if (at->second == v) continue;
    g.set_input(n, 1, at->second);
    ++changes;
  }
  return changes;
}

}  // namespace lathe::passes
