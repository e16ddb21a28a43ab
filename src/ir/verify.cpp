// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "ir/graph.h"

namespace lathe {

namespace {

std::unexpected<Error> broken(const std::string& what) { return fail(Code::kFailed, "[verify] " + what); }

std::string node_text(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  return "node " + std::to_string(id) + " (" + std::string(n.op->name()) +
         (n.name.empty() ? "" : " \"" + n.name + "\"") + ")";
}

std::string type_text(DType t, const Shape& s) { return std::string(dtype_name(t)) + shape_str(s); }

Status check_value(const Graph& g, ValueId id) {
  const Value& v = g.value(id);
  const std::string name = "value \"" + v.name + "\"";
  if (v.constant) {
    if (v.producer != kNoId) return broken(name + " is a constant and has a producer");
    if (v.constant->dtype() != v.dtype || to_shape(v.constant->dims()) != v.shape)
      return broken(name + " differs in type from its constant");
  }
  if (v.producer != kNoId) {
    const Node& n = g.node(v.producer);
    if (!n.alive() || std::find(n.outputs.begin(), n.outputs.end(), id) == n.outputs.end())
      return broken(name + " is not made by its producer");
  }
  const bool source =
      v.constant || v.producer != kNoId || std::find(g.inputs.begin(), g.inputs.end(), id) != g.inputs.end();
  if (!source && (!v.users.empty() || g.is_output(id))) return broken(name + " is used and has no producer");
  for (const NodeId u : std::set<NodeId>(v.users.begin(), v.users.end())) {
    const auto& in = g.node(u).inputs;
    if (!g.node(u).alive() || std::count(in.begin(), in.end(), id) != std::count(v.users.begin(), v.users.end(), u))
      return broken(name + " disagrees with its user " + std::to_string(u));
  }
  return {};
}

// Whether `got` is what inference gives, up to the symbols it would make up ("?0").
bool same_shape(const Shape& stored, const Shape& inferred) {
  if (stored.size() != inferred.size()) return false;
  for (size_t i = 0; i < stored.size(); ++i) {
    std::set<std::string> names;
    inferred[i].collect_symbols(names);
    const bool made_up = std::any_of(names.begin(), names.end(), [](const auto& s) { return s[0] == '?'; });
    if (!made_up && !(stored[i] == inferred[i])) return false;
  }
  return true;
}

Status check_epilogue(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  const auto extra = static_cast<int>(n.inputs.size()) - n.anchor_inputs;
  if (n.epilogue.empty())
    return extra == 0 ? Status{} : Status(broken(node_text(g, id) + " has inputs of an epilogue but none"));
  if (n.epilogue.inputs != 1 + extra) return broken(node_text(g, id) + ": its epilogue takes another number of inputs");
  if (n.epilogue.results.size() != 1) return broken(node_text(g, id) + ": its epilogue has not one result");
  const Shape& out = g.value(n.outputs[0]).shape;
  for (const Step& s : n.epilogue.steps) {
    if (s.prim != Prim::kInput || s.integer == 0) continue;
    const ValueId v = n.inputs[static_cast<size_t>(n.anchor_inputs) + static_cast<size_t>(s.integer) - 1];
    if (v == kNoId || g.value(v).dtype != s.dtype) return broken(node_text(g, id) + ": type of an epilogue's input");
    const Shape& in = g.value(v).shape;
    bool fits = in.size() <= out.size();
    for (size_t d = 0; fits && d < in.size(); ++d) fits = in[d].equals(1) || in[d] == out[out.size() - in.size() + d];
    if (!fits)
      return broken(node_text(g, id) + ": epilogue input " + shape_str(in) + " does not broadcast to " +
                    shape_str(out));
  }
  return {};
}

Status check_states(const Graph& g) {
  const size_t count = g.states.size();
  if (count > g.inputs.size() || count > g.outputs.size())
    return broken("there are more states than inputs or outputs");
  for (size_t i = 0; i < count; ++i) {
    const Value &now = g.value(g.inputs[g.inputs.size() - count + i]),
                &next = g.value(g.outputs[g.outputs.size() - count + i]);
    const Shape shape = to_shape(g.states[i].dims());
    if (now.dtype != g.states[i].dtype() || next.dtype != now.dtype || now.shape != shape || next.shape != shape)
      return broken("state \"" + now.name + "\" is " + type_text(now.dtype, now.shape) + " with the initial value " +
                    type_text(g.states[i].dtype(), shape) + " and is replaced by " + type_text(next.dtype, next.shape));
  }
  return {};
}

Status check_node(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.anchor_inputs < 0 || static_cast<size_t>(n.anchor_inputs) > n.inputs.size())
    return broken(node_text(g, id) + ": anchor_inputs is out of range");
  for (const ValueId v : n.inputs) {
    if (v == kNoId) continue;
    if (v < 0 || static_cast<size_t>(v) >= g.value_count()) return broken(node_text(g, id) + ": input out of range");
    const auto& users = g.value(v).users;
    if (std::find(users.begin(), users.end(), id) == users.end())
      return broken(node_text(g, id) + " is no user of its input \"" + g.value(v).name + "\"");
  }
  for (const ValueId v : n.outputs)
    if (g.value(v).producer != id)
      return broken(node_text(g, id) + " does not produce its output \"" + g.value(v).name + "\"");
  LATHE_CHECK(check_epilogue(g, id));

  for (const SubGraph& s : n.op->subgraphs()) {
    if (!s.graph) return broken(node_text(g, id) + " lacks one of its graphs");
    if (!s.graph->states.empty()) return broken(node_text(g, id) + " holds a graph with state");
    if (const Status inner = verify(*s.graph); !inner)
      return broken(node_text(g, id) + " holds a broken graph: " + inner.error().message);
  }

  const auto infos = g.infos(n.inputs);
  int made_up = 0;
  const auto inferred = n.op->infer(std::span(infos).first(static_cast<size_t>(n.anchor_inputs)),
                                    [&](std::string_view) { return Dim::symbol("?" + std::to_string(made_up++)); });
  if (!inferred) return broken(node_text(g, id) + ": " + inferred.error().message);
  if (inferred->size() != n.outputs.size()) return broken(node_text(g, id) + ": number of outputs");
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const Value& v = g.value(n.outputs[i]);
    DType wanted = (*inferred)[i].dtype;
    if (i == 0 && !n.epilogue.empty()) wanted = n.epilogue.steps[static_cast<size_t>(n.epilogue.results[0])].dtype;
    if (v.dtype != wanted || !same_shape(v.shape, (*inferred)[i].shape))
      return broken(node_text(g, id) + ": \"" + v.name + "\" is stored as " + type_text(v.dtype, v.shape) +
                    " and inferred as " + type_text(wanted, (*inferred)[i].shape));
  }
  return {};
}

}  // namespace

Status verify(const Graph& g) {
  std::set<std::string> names;
  for (size_t i = 0; i < g.value_count(); ++i) {
    const auto id = static_cast<ValueId>(i);
    LATHE_CHECK(check_value(g, id));
    const Value& v = g.value(id);
    const bool live = v.producer != kNoId || !v.users.empty() || g.is_output(id);
    if (live && !names.insert(v.name).second) return broken("two values are called \"" + v.name + "\"");
  }
  for (const ValueId v : g.outputs)
    if (v < 0 || static_cast<size_t>(v) >= g.value_count()) return broken("an output of the graph is out of range");
  LATHE_CHECK(check_states(g));
  size_t alive = 0;
  for (size_t i = 0; i < g.node_count(); ++i) {
    if (!g.node(static_cast<NodeId>(i)).alive()) continue;
    ++alive;
    LATHE_CHECK(check_node(g, static_cast<NodeId>(i)));
  }
  if (g.order().size() != alive) return broken("the graph has a cycle");
  return {};
}

}  // namespace lathe
