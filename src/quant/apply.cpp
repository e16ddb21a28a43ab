// SPDX-License-Identifier: Apache-2.0
#include "quant/apply.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ops/conv.h"
#include "ops/dequantize.h"
#include "ops/matmul.h"
#include "ops/quantize.h"
#include "quant/weights.h"
#include "rewrite/edit.h"

namespace lathe::quant {

namespace {

class Applier {
 public:
  Applier(Graph& graph, const Observations& seen, const ApplyOptions& options)
      : g_(graph), seen_(seen), options_(options) {}

  Status quantize_root(ValueId root, const Params& p) {
    const std::string name =
        g_.value(root).producer == kNoId ? g_.value(root).name : g_.node(g_.value(root).producer).name;
    Tensor zero = Tensor::zeros(p.type, {});
    zero.set_i64(0, p.zero);
    const ValueId s = g_.add_constant({}, Tensor::scalar_f32(p.scale)), z = g_.add_constant({}, zero);
    const std::vector<NodeId> users = g_.value(root).users;
    auto op = std::make_shared<ops::Quantize>();
    op->to = p.type;
    LATHE_TRY(const ValueId q, g_.add(op, {root, s, z}, name));
    LATHE_TRY(const ValueId d, g_.add(std::make_shared<ops::Dequantize>(), {q, s, z}, name));
    for (const NodeId user : std::set<NodeId>(users.begin(), users.end())) {
      const auto inputs = g_.node(user).inputs;
      for (size_t slot = 0; slot < inputs.size(); ++slot)
        if (inputs[slot] == root) g_.set_input(user, slot, d);
    }
    return {};
  }

  Status quantize_layer(const Layer& layer, const Params& input) {
    const NodeId n = layer.node;
    const auto* matmul = g_.node(n).as<ops::MatMul>();
    const auto* conv = g_.node(n).as<ops::Conv>();
    const Tensor weights = *g_.value(g_.node(n).inputs[1]).constant;
    const std::string name = g_.value(g_.node(n).inputs[1]).name;
    const size_t axis = matmul ? (matmul->trans_b ? 0 : 1) : 0;
    const size_t in_axis = matmul ? 1 - axis : weights.dims().size() - 1;
    const bool biased = conv && g_.node(n).inputs.size() > 2 && g_.node(n).inputs[2] != kNoId;
    const bool known_bias = !biased || g_.value(g_.node(n).inputs[2]).constant;
    std::vector<float> bias;
    if (biased && known_bias) bias = g_.value(g_.node(n).inputs[2]).constant->to_f32();
    const ChannelWeights q = quantize_weights(weights, axis, bias, input.scale);
    if (conv && known_bias) {
      if (options_.correct_bias) correct(layer, weights, q, axis, in_axis, conv->group, bias);
      LATHE_CHECK(set_bias(n, bias, q, input));
    }
    std::vector<int64_t> shape(weights.dims().size() - axis, 1);
    shape[0] = static_cast<int64_t>(q.scale.size());
    const ValueId w = g_.add_constant(name.empty() || name[0] == '%' ? "" : unused(name + "_quantized"), q.integers);
    const ValueId s = g_.add_constant({}, Tensor::of<float>(DType::kF32, shape, q.scale));
    const ValueId z = g_.add_constant({}, Tensor::zeros(DType::kI8, shape));
    LATHE_TRY(const ValueId d, g_.add(std::make_shared<ops::Dequantize>(), {w, s, z}, layer.name));
    g_.set_input(n, 1, d);
    return {};
  }

 private:
  /// Weights are shared now and then, and names are unique.
  std::string unused(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 1; !names_.insert(name).second; ++i) name = wanted + std::to_string(i);
    return name;
  }

  void correct(const Layer& layer, const Tensor& weights, const ChannelWeights& q, size_t axis, size_t in_axis,
               int64_t groups, std::vector<float>& bias) const {
    const auto seen = seen_.find(layer.input);
    if (seen == seen_.end() || seen->second.rows == 0) return;
    std::vector<double> means = seen->second.channel_sum;
    for (double& m : means) m /= static_cast<double>(seen->second.rows);
    if (!std::ranges::all_of(means, [](double m) { return std::isfinite(m); })) return;
    const std::vector<double> shift = mean_shift(weights, q, axis, in_axis, groups, means);
    bias.resize(shift.size());
    for (size_t c = 0; c < shift.size(); ++c) bias[c] -= static_cast<float>(shift[c]);
  }

  /// The bias as integers in units of the sums.
  Status set_bias(NodeId n, const std::vector<float>& bias, const ChannelWeights& q, const Params& input) {
    if (bias.empty()) return {};
    const auto channels = static_cast<int64_t>(bias.size());
    Tensor integers = Tensor::zeros(DType::kI32, {channels});
    std::vector<float> unit(q.scale);
    for (size_t c = 0; c < bias.size(); ++c) {
      unit[c] *= input.scale;
      const double b = std::nearbyint(static_cast<double>(bias[c]) / static_cast<double>(unit[c]));
      if (!(std::abs(b) < 2147483648.0))
        return fail(Code::kUnsupported, "the bias of node \"" + g_.node(n).name + "\" does not fit 32 bits");
      integers.set_i64(static_cast<int64_t>(c), static_cast<int64_t>(b));
    }
    const ValueId b = g_.add_constant({}, integers);
    const ValueId s = g_.add_constant({}, Tensor::of<float>(DType::kF32, {channels}, unit));
    LATHE_TRY(const ValueId d, g_.add(std::make_shared<ops::Dequantize>(), {b, s}, g_.node(n).name));
    auto inputs = g_.node(n).inputs;
    inputs.resize(3, kNoId);
    inputs[2] = d;
    g_.node(n).anchor_inputs = 3;
    g_.set_inputs(n, std::move(inputs));
    return {};
  }

  Graph& g_;
  const Observations& seen_;
  const ApplyOptions& options_;
  std::set<std::string> names_;
};

}  // namespace

std::vector<Params> choose_params(const Scheme& scheme, const Observations& seen, const ApplyOptions& options) {
  std::vector<Params> r;
  for (const Group& group : scheme.groups) {
    Range all;
    for (const ValueId root : group.roots) {
      const auto it = seen.find(root);
      if (it == seen.end()) continue;
      const Range one = choose_range(it->second.histogram, options.calibrator, options.activations, options.percentile);
      all = {std::min(all.low, one.low), std::max(all.high, one.high)};
    }
    r.push_back(params_of(all, options.activations));
  }
  return r;
}

Status apply(Graph& graph, const Scheme& scheme, const std::vector<bool>& chosen, const std::vector<Params>& params,
             const Observations& seen, const ApplyOptions& options) {
  Applier applier(graph, seen, options);
  std::set<size_t> groups;
  for (size_t i = 0; i < scheme.layers.size(); ++i) {
    const Layer& layer = scheme.layers[i];
    if (!chosen[i]) continue;
    groups.insert(layer.group);
    LATHE_CHECK(applier.quantize_layer(layer, params[layer.group]));
  }
  for (const size_t group : groups)
    for (const ValueId root : scheme.groups[group].roots) LATHE_CHECK(applier.quantize_root(root, params[group]));
  graph.remove_dead();
  return {};
}

}  // namespace lathe::quant
