// SPDX-License-Identifier: Apache-2.0
#include "quant/scheme.h"

#include <algorithm>
#include <numeric>

#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/expand.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/quantize.h"
#include "ops/reshape.h"
#include "ops/resize.h"
#include "ops/slice.h"
#include "ops/transpose.h"
#include "rewrite/edit.h"

namespace lathe::quant {

namespace {

/// What integer_arithmetic lets a Dequantize sink through: the data inputs of the node, none if it computes.
std::span<const ValueId> moved(const Node& n) {
  const std::span<const ValueId> in(n.inputs);
  if (!n.epilogue.empty() || n.outputs.size() != 1) return {};
  if (n.as<ops::Concat>()) return in;
  const auto* resize = n.as<ops::Resize>();
  const auto* pool = n.as<ops::Pool>();
  const bool moves = n.as<ops::Reshape>() || n.as<ops::Slice>() || n.as<ops::Expand>() || n.as<ops::Gather>() ||
                     n.as<ops::Transpose>() ||
                     (resize && resize->mode == "nearest" && resize->coordinate != "tf_crop_and_resize") ||
                     (pool && pool->kind == "max");
  return moves ? in.first(1) : in.first(0);
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : g_(graph), parent_(graph.value_count()) {
    std::iota(parent_.begin(), parent_.end(), ValueId{0});
  }

  Scheme run() {
    Scheme s;
    for (const NodeId n : g_.order())
      if (is_layer(g_.node(n))) s.layers.push_back(layer(n));
    for (Layer& l : s.layers) join(l.input);
    std::map<ValueId, size_t> groups;
    for (Layer& l : s.layers) {
      l.group = groups.try_emplace(representative(l.input), groups.size()).first->second;
    }
    s.groups.resize(groups.size());
    for (size_t v = 0; v < root_.size(); ++v)
      if (root_[v])
        s.groups[groups.at(representative(static_cast<ValueId>(v)))].roots.push_back(static_cast<ValueId>(v));
    return s;
  }

 private:
  [[nodiscard]] bool is_layer(const Node& n) const {
    const bool conv = n.as<ops::Conv>(), matmul = n.as<ops::MatMul>();
    if ((!conv && !matmul) || !n.epilogue.empty()) return false;
    const Value &x = g_.value(n.inputs[0]), &w = g_.value(n.inputs[1]);
    if (x.constant || x.dtype != DType::kF32 || !w.constant || w.dtype != DType::kF32) return false;
    return conv || w.shape.size() == 2;
  }

  Layer layer(NodeId id) const {
    const Node& n = g_.node(id);
    Layer l{id, n.inputs[0], n.outputs[0], 0, n.name, std::string(n.op->name()), 0};
    if (l.name.empty()) l.name = g_.value(n.outputs[0]).name;
    l.flops = n.op->flops(g_.infos(n.inputs), g_.infos(n.outputs));
    for (;;) {
      const NodeId user = rewrite::sole_user(g_, l.result);
      if (user == kNoId || g_.node(user).as<ops::Quantize>() || g_.node(user).outputs.size() != 1) break;
      std::vector<DType> types;
      for (const ValueId v : g_.node(user).inputs) types.push_back(v == kNoId ? DType::kUndefined : g_.value(v).dtype);
      const Value& out = g_.value(g_.node(user).outputs[0]);
      if (!g_.node(user).op->program(types) || out.dtype != DType::kF32 || out.shape != g_.value(l.result).shape) break;
      l.result = g_.node(user).outputs[0];
    }
    return l;
  }

  ValueId representative(ValueId v) {
    while (parent_[static_cast<size_t>(v)] != v) v = parent_[static_cast<size_t>(v)];
    return v;
  }

  /// Joins v with everything that it is moved from.
  void join(ValueId start) {
    std::vector<ValueId> worklist = {start};
    if (root_.empty()) root_.resize(g_.value_count()), seen_.resize(g_.value_count());
    while (!worklist.empty()) {
      const ValueId v = worklist.back();
      worklist.pop_back();
      if (seen_[static_cast<size_t>(v)]) continue;
      seen_[static_cast<size_t>(v)] = true;
      const NodeId producer = g_.value(v).producer;
      const auto from = producer == kNoId ? std::span<const ValueId>() : moved(g_.node(producer));
      const bool constant = std::ranges::any_of(from, [&](ValueId x) { return g_.value(x).constant.has_value(); });
      if (from.empty() || constant) {
        root_[static_cast<size_t>(v)] = true;
        continue;
      }
      for (const ValueId x : from) {
        parent_[static_cast<size_t>(representative(x))] = representative(v);
        worklist.push_back(x);
      }
    }
  }

  const Graph& g_;
  std::vector<ValueId> parent_;
  std::vector<bool> root_, seen_;
};

}  // namespace

Scheme find_scheme(const Graph& graph) { return Finder(graph).run(); }

}  // namespace lathe::quant
