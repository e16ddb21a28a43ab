// SPDX-License-Identifier: Apache-2.0
// What happens to the graphs that If and Loop hold. Operators are shared and do not change, so a pass works on a copy
// of each graph and gives the node an operator with the copies.
#include <algorithm>

#include "ops/if.h"
#include "ops/loop.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

constexpr int kMaxNesting = 64;

using Graphs = std::vector<std::shared_ptr<Graph>>;

Graphs copies(const Node& n) {
  Graphs r;
  for (const SubGraph& s : n.op->subgraphs()) r.push_back(std::make_shared<Graph>(*s.graph));
  return r;
}

std::vector<NodeId> holders(const Graph& g) {
  std::vector<NodeId> r;
  for (const NodeId n : g.order())
    if (!g.node(n).op->subgraphs().empty()) r.push_back(n);
  return r;
}

/// The node's first input that its graphs capture: those before are the operator's own.
size_t first_captured(const Node& n) {
  const auto* loop = n.as<ops::Loop>();
  return loop ? 2 + loop->carried_count() : 1;
}

/// Puts `graphs` into the node, without the captured inputs that none of them uses.
void put_back(Graph& g, NodeId id, const Graphs& graphs) {
  const auto held = g.node(id).op->subgraphs();
  std::vector<ValueId> inputs = g.node(id).inputs;
  for (size_t slot = inputs.size(); slot-- > first_captured(g.node(id));) {
    const size_t at = slot - held[0].first;
    const bool used = std::ranges::any_of(graphs, [&](const auto& s) {
      const ValueId v = s->inputs[at];
      return !s->value(v).users.empty() || s->is_output(v);
    });
    if (used) continue;
    for (const auto& s : graphs) s->inputs.erase(s->inputs.begin() + static_cast<std::ptrdiff_t>(at));
    inputs.erase(inputs.begin() + static_cast<std::ptrdiff_t>(slot));
  }
  g.node(id).op = with_subgraphs(*g.node(id).op, graphs);
  g.node(id).anchor_inputs = static_cast<int>(inputs.size());
  g.set_inputs(id, std::move(inputs));
}

void stand_for(const Shape& inner, const Shape& given, std::map<std::string, Dim>& sizes) {
  for (size_t d = 0; d < inner.size() && d < given.size(); ++d)
    if (const std::string symbol = inner[d].symbol_name(); !symbol.empty() && !(inner[d] == given[d]))
      sizes.try_emplace(symbol, given[d]);
}

/// What is known of captured values now; constants take the place of inputs.
int tell(const Graph& g, const Node& n, size_t first, Graph& inner) {
  int changes = 0;
  std::map<std::string, Dim> sizes;
  for (size_t slot = first_captured(n); slot < n.inputs.size(); ++slot) {
    const ValueId v = inner.inputs[slot - first];
    const Value& given = g.value(n.inputs[slot]);
    Value& here = inner.value(v);
    if (given.constant) {
      if (here.users.empty() && !inner.is_output(v)) continue;
      const ValueId c = inner.add_constant({}, *given.constant);
      inner.replace_uses(v, c);
      ++changes;
      continue;
    }
    if (here.shape == given.shape && here.content == given.content) continue;
    stand_for(here.shape, given.shape, sizes);
    here.shape = given.shape;
    here.content = given.content;
    for (const auto& [name, range] : g.symbols) inner.symbols.try_emplace(name, range);
    ++changes;
  }
  // A carried value keeps the sizes of its first one where they do not change.
  if (const auto* loop = n.as<ops::Loop>())
    for (size_t k = 0; k < loop->carried_count(); ++k) {
      Value& here = inner.value(inner.inputs[2 + k]);
      for (size_t d = 0; d < here.shape.size(); ++d) {
        const Dim& given = g.value(n.inputs[2 + k]).shape[d];
        if (loop->varies(k, d) || here.shape[d] == given) continue;
        stand_for({here.shape[d]}, {given}, sizes);
        here.shape[d] = given;
        ++changes;
      }
    }
  if (!sizes.empty()) inner.substitute(sizes);
  return changes;
}

Result<bool> take_known_branch(Graph& g, NodeId id) {
  const auto* op = g.node(id).as<ops::If>();
  if (!op) return false;
  const auto& condition = g.value(g.node(id).inputs[0]).constant;
  if (!condition) return false;
  const auto taken = condition->i64_at(0) != 0 ? op->then_graph : op->else_graph;
  const std::vector<ValueId> args(g.node(id).inputs.begin() + 1, g.node(id).inputs.end());
  const std::vector<ValueId> outputs = g.node(id).outputs;
  LATHE_TRY(const auto results, g.inline_graph(*taken, args, g.node(id).name));
  for (size_t i = 0; i < outputs.size(); ++i) g.replace_uses(outputs[i], results[i]);
  g.remove_node(id);
  return true;
}

Result<int> specialize(Graph& g, const PassOptions& options, int depth) {
  if (depth > kMaxNesting) return fail(Code::kUnsupported, "graphs are nested too deeply");
  int changes = 0;
  for (bool again = true; again;) {
    again = false;
    for (const NodeId id : holders(g)) {
      LATHE_TRY(const bool taken, take_known_branch(g, id));
      if (taken) {
        again = true;
        ++changes;
        continue;
      }
      const Graphs graphs = copies(g.node(id));
      int told = 0;
      for (const auto& inner : graphs) {
        const int news = tell(g, g.node(id), g.node(id).op->subgraphs()[0].first, *inner);
        told += news;
        if (news > 0) {
          LATHE_CHECK(shape_refine(*inner, options));
          LATHE_CHECK(constant_fold_early(*inner, options));
        }
        LATHE_TRY(const int deeper, specialize(*inner, options, depth + 1));
        told += deeper;
        inner->remove_dead();
      }
      put_back(g, id, graphs);
      changes += told;
    }
    if (again || changes > 0) LATHE_CHECK(shape_refine(g, options));
    if (again) LATHE_CHECK(constant_fold_early(g, options));
  }
  return changes;
}

}  // namespace

Result<int> specialize_subgraphs(Graph& g, const PassOptions& options) {
  if (holders(g).empty()) return 0;
  LATHE_CHECK(constant_fold_early(g, options));
  LATHE_CHECK(shape_refine(g, options));
  LATHE_CHECK(constant_fold_early(g, options));
  return specialize(g, options, 0);
}

Result<int> optimize_subgraphs(Graph& g, const PassOptions& options) {
  const auto nodes = holders(g);
  for (const NodeId id : nodes) {
    const Graphs graphs = copies(g.node(id));
    for (const auto& inner : graphs)
      if (const Status ok = optimize(*inner, options); !ok)
        return fail(ok.error().code, "in the graph of \"" + g.node(id).name + "\": " + ok.error().message);
    put_back(g, id, graphs);
  }
  if (!nodes.empty()) LATHE_CHECK(shape_refine(g, options));
  return static_cast<int>(nodes.size());
}

}  // namespace lathe::passes
