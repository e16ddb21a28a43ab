// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ir/evaluate.h"
#include "ops/dequantize.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

// A folded result may be this large, or as large as what it was made of (weights that are transposed or cast).
constexpr int64_t kMaxBytes = int64_t{1} << 20;

bool small_enough(const Graph& g, const Node& n) {
  int64_t in = 0, out = 0;
  for (const ValueId v : n.inputs)
    if (v != kNoId) in += static_cast<int64_t>(g.value(v).constant->bytes().size());
  for (const ValueId v : n.outputs) {
    const auto count = product(g.value(v).shape).as_const();
    if (!count) return true;  // data-dependent, hence small where it matters
    out += dtype_bytes(g.value(v).dtype, *count);
  }
  return out <= std::max(kMaxBytes, 4 * in);
}

// The constant that a value with known contents is.
std::optional<Tensor> known(const Value& v) {
  if (!v.content || !is_static(v.shape) || v.dtype == DType::kUndefined) return std::nullopt;
  const auto values = static_dims(*v.content);
  const auto count = product(v.shape).as_const();
  if (!values || static_cast<int64_t>(values->size()) != *count) return std::nullopt;
  Tensor t = Tensor::zeros(v.dtype, *static_dims(v.shape));
  for (size_t i = 0; i < values->size(); ++i) t.set_i64(static_cast<int64_t>(i), (*values)[i]);
  return t;
}

void make_constant(Graph& g, ValueId v, Tensor t) {
  const ValueId c = g.add_constant({}, std::move(t));
  g.replace_uses(v, c);
}

}  // namespace

namespace {

Result<int> fold_all(Graph& g, bool dequantized) {
  int changes = 0;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (!n.op->pure() || (!dequantized && n.as<ops::Dequantize>())) continue;
    bool constant = true;
    for (const ValueId v : n.inputs) constant = constant && (v == kNoId || g.value(v).constant);
    const auto outputs = n.outputs;
    if (constant && n.op->foldable() && small_enough(g, n)) {
      std::vector<Tensor> in;
      for (const ValueId v : n.inputs) in.push_back(v == kNoId ? Tensor() : *g.value(v).constant);
      if (auto out = evaluate_node(n, in)) {
        for (size_t i = 0; i < outputs.size(); ++i) make_constant(g, outputs[i], std::move((*out)[i]));
        g.remove_node(id);
        ++changes;
        continue;
      }
    }
    for (const ValueId v : outputs) {
      if (g.value(v).users.empty() && !g.is_output(v)) continue;
      if (auto t = known(g.value(v))) {
        make_constant(g, v, *std::move(t));
        ++changes;
      }
    }
  }
  return changes;
}

}  // namespace

Result<int> constant_fold(Graph& g, const PassOptions&) { return fold_all(g, true); }
Result<int> constant_fold_early(Graph& g, const PassOptions&) { return fold_all(g, false); }

Result<int> shape_refine(Graph& g, const PassOptions&) {
  int changes = 0;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    int made_up = 0;
    const auto infos = g.infos(n.inputs);
    const auto inferred = n.op->infer(std::span(infos).first(static_cast<size_t>(n.anchor_inputs)),
                                      [&](std::string_view) { return Dim::symbol("?" + std::to_string(made_up++)); });
    if (!inferred)
      return fail(inferred.error().code,
                  "[" + std::string(n.op->name()) + "] " + inferred.error().message + " (node \"" + n.name + "\")");
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      Value& v = g.value(n.outputs[i]);
      const ValueInfo& now = (*inferred)[i];
      // A dimension that is still unknown keeps the symbol it has.
      auto unknown = [](const Dim& d) {
        std::set<std::string> names;
        d.collect_symbols(names);
        return std::any_of(names.begin(), names.end(), [](const auto& s) { return s[0] == '?'; });
      };
      for (size_t d = 0; d < now.shape.size() && now.shape.size() == v.shape.size(); ++d) {
        if (unknown(now.shape[d]) || now.shape[d] == v.shape[d]) continue;
        v.shape[d] = now.shape[d];
        ++changes;
      }
      if (now.content && std::none_of(now.content->begin(), now.content->end(), unknown)) {
        changes += v.content ? 0 : 1;
        v.content = now.content;
      }
    }
  }
  return changes;
}

Result<int> dead_code(Graph& g, const PassOptions&) { return g.remove_dead(); }

}  // namespace lathe::passes
