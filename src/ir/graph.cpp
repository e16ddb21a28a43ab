// SPDX-License-Identifier: Apache-2.0
#include "ir/graph.h"

#include <algorithm>
#include <queue>

namespace lathe {

namespace {

bool made_up(const std::string& name) { return name.empty() || name[0] == '%'; }

template <class T>
void erase_one(std::vector<T>& v, const T& x) {
  const auto it = std::find(v.begin(), v.end(), x);
  if (it != v.end()) v.erase(it);
}

std::string describe(const Node& n) {
  std::string s = "[" + std::string(n.op->name()) + "] ";
  return n.name.empty() ? s : s + "node \"" + n.name + "\": ";
}

}  // namespace

ValueId Graph::add_value(std::string value_name) {
  Value v;
  v.name = value_name.empty() ? fresh_name() : std::move(value_name);
  values_.push_back(std::move(v));
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::add_input(std::string input_name, DType dtype, Shape shape) {
  for (const auto& d : shape) {
    std::set<std::string> names;
    d.collect_symbols(names);
    for (const auto& s : names) symbols.try_emplace(s);
  }
  const ValueId v = add_value(std::move(input_name));
  value(v).dtype = dtype;
  value(v).shape = std::move(shape);
  inputs.push_back(v);
  return v;
}

ValueId Graph::add_constant(std::string constant_name, Tensor t) {
  const ValueId v = add_value(std::move(constant_name));
  value(v).dtype = t.dtype();
  value(v).shape = to_shape(t.dims());
  value(v).constant = std::move(t);
  return v;
}

Result<NodeId> Graph::add_node(std::shared_ptr<const Op> op, std::vector<ValueId> in, std::vector<std::string> names,
                               std::string node_name) {
  Node n;
  n.op = std::move(op);
  n.name = std::move(node_name);
  n.anchor_inputs = static_cast<int>(in.size());
  n.inputs = std::move(in);
  const auto infos_in = infos(n.inputs);
  auto inferred = n.op->infer(infos_in, [this](std::string_view stem) { return fresh_symbol(stem); });
  if (!inferred) return fail(inferred.error().code, describe(n) + inferred.error().message);
  const auto id = static_cast<NodeId>(nodes_.size());
  for (size_t i = 0; i < inferred->size(); ++i) {
    const ValueId v = add_value(i < names.size() ? names[i] : std::string());
    auto& out = value(v);
    out.dtype = (*inferred)[i].dtype;
    out.shape = std::move((*inferred)[i].shape);
    out.content = std::move((*inferred)[i].content);
    out.producer = id;
    n.outputs.push_back(v);
  }
  for (const ValueId v : n.inputs)
    if (v != kNoId) value(v).users.push_back(id);
  nodes_.push_back(std::move(n));
  return id;
}

Result<ValueId> Graph::add(std::shared_ptr<const Op> op, std::vector<ValueId> in, const std::string& node_name) {
  LATHE_TRY(const NodeId n, add_node(std::move(op), std::move(in), {}, node_name));
  return node(n).outputs[0];
}

void Graph::set_input(NodeId n, size_t slot, ValueId v) {
  ValueId& old = node(n).inputs[slot];
  if (old == v) return;
  if (old != kNoId) erase_one(value(old).users, n);
  old = v;
  if (v != kNoId) value(v).users.push_back(n);
}

void Graph::append_input(NodeId n, ValueId v) {
  node(n).inputs.push_back(v);
  if (v != kNoId) value(v).users.push_back(n);
}

void Graph::set_inputs(NodeId n, std::vector<ValueId> in) {
  for (const ValueId v : node(n).inputs)
    if (v != kNoId) erase_one(value(v).users, n);
  node(n).inputs = std::move(in);
  for (const ValueId v : node(n).inputs)
    if (v != kNoId) value(v).users.push_back(n);
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  const std::vector<NodeId> users = value(from).users;
  for (const NodeId u : users) {
    auto& in = node(u).inputs;
    for (size_t i = 0; i < in.size(); ++i)
      if (in[i] == from) set_input(u, i, to);
  }
  for (ValueId& o : outputs)
    if (o == from) o = to;
  if (!made_up(value(from).name) && made_up(value(to).name)) std::swap(value(from).name, value(to).name);
}

void Graph::remove_node(NodeId id) {
  Node& n = node(id);
  set_inputs(id, {});
  for (const ValueId v : n.outputs)
    if (value(v).producer == id) value(v).producer = kNoId;
  n = Node{};
}

int Graph::remove_dead() {
  int removed = 0;
  const auto live_order = order();
  for (auto it = live_order.rbegin(); it != live_order.rend(); ++it) {
    const Node& n = node(*it);
    if (!n.op->pure()) continue;
    const bool used = std::any_of(n.outputs.begin(), n.outputs.end(),
                                  [&](ValueId v) { return !value(v).users.empty() || is_output(v); });
    if (used) continue;
    remove_node(*it);
    ++removed;
  }
  return removed;
}

void Graph::take_output(NodeId id, ValueId v) {
  const ValueId old = node(id).outputs[0];
  if (old == v) return;
  value(old).producer = kNoId;
  const NodeId previous = value(v).producer;
  if (previous != kNoId)
    for (ValueId& o : node(previous).outputs)
      if (o == v) o = old;
  if (previous != kNoId) value(old).producer = previous;
  node(id).outputs[0] = v;
  value(v).producer = id;
}

std::unique_ptr<Graph> Graph::nested() const {
  auto g = std::make_unique<Graph>();
  g->symbols = symbols;
  g->next_symbol_ = next_symbol_;
  return g;
}

void Graph::substitute(const std::map<std::string, Dim>& sizes) {
  for (Value& v : values_) {
    for (Dim& d : v.shape) d = d.substitute(sizes);
    if (v.content)
      for (Dim& d : *v.content) d = d.substitute(sizes);
  }
  for (Node& n : nodes_) {
    if (!n.alive() || n.op->subgraphs().empty()) continue;
    std::vector<std::shared_ptr<Graph>> graphs;
    for (const SubGraph& s : n.op->subgraphs()) {
      graphs.push_back(std::make_shared<Graph>(*s.graph));
      graphs.back()->substitute(sizes);
    }
    n.op = with_subgraphs(*n.op, std::move(graphs));
  }
}

Result<std::vector<ValueId>> Graph::inline_graph(const Graph& inner, std::span<const ValueId> args,
                                                 const std::string& node_name) {
  std::vector<ValueId> here(inner.value_count(), kNoId);
  for (size_t i = 0; i < inner.inputs.size(); ++i) here[static_cast<size_t>(inner.inputs[i])] = args[i];
  const auto mapped = [&](ValueId v) {
    if (v == kNoId) return kNoId;
    ValueId& to = here[static_cast<size_t>(v)];
    if (to == kNoId && inner.value(v).constant) to = add_constant({}, *inner.value(v).constant);
    return to;
  };
  for (const NodeId id : inner.order()) {
    const Node& n = inner.node(id);
    std::vector<ValueId> in;
    for (int i = 0; i < n.anchor_inputs; ++i) in.push_back(mapped(n.inputs[static_cast<size_t>(i)]));
    LATHE_TRY(const NodeId added, add_node(n.op, std::move(in), {}, n.name.empty() ? node_name : n.name));
    for (size_t i = static_cast<size_t>(n.anchor_inputs); i < n.inputs.size(); ++i)
      append_input(added, mapped(n.inputs[i]));
    Node& copy = node(added);
    copy.epilogue = n.epilogue;
    if (!n.epilogue.empty()) value(copy.outputs[0]).dtype = inner.value(n.outputs[0]).dtype;
    for (size_t i = 0; i < n.outputs.size(); ++i) here[static_cast<size_t>(n.outputs[i])] = copy.outputs[i];
  }
  std::vector<ValueId> results;
  for (const ValueId v : inner.outputs) results.push_back(mapped(v));
  return results;
}

Status Graph::reinfer(NodeId id) {
  const Node& n = node(id);
  const auto all = infos(n.inputs);
  const std::span<const ValueInfo> anchor(all.data(), static_cast<size_t>(n.anchor_inputs));
  auto inferred = n.op->infer(anchor, [this](std::string_view stem) { return fresh_symbol(stem); });
  if (!inferred) return fail(inferred.error().code, describe(n) + inferred.error().message);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    Value& out = value(n.outputs[i]);
    const bool epilogue = i == 0 && !n.epilogue.empty();
    if (!epilogue) out.dtype = (*inferred)[i].dtype;
    out.shape = (*inferred)[i].shape;
    out.content = (*inferred)[i].content;
  }
  return {};
}

ValueInfo Graph::info(ValueId v) const {
  if (v == kNoId) return {};
  const Value& x = value(v);
  return {x.dtype, x.shape, x.constant ? &*x.constant : nullptr, x.content};
}

std::vector<ValueInfo> Graph::infos(std::span<const ValueId> ids) const {
  std::vector<ValueInfo> r;
  r.reserve(ids.size());
  for (const ValueId v : ids) r.push_back(info(v));
  return r;
}

bool Graph::is_output(ValueId v) const { return std::find(outputs.begin(), outputs.end(), v) != outputs.end(); }

std::vector<NodeId> Graph::order() const {
  std::vector<int> waiting(nodes_.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].alive()) continue;
    for (const ValueId v : nodes_[i].inputs)
      if (v != kNoId && value(v).producer != kNoId) ++waiting[i];
    if (waiting[i] == 0) ready.push(static_cast<NodeId>(i));
  }
  std::vector<NodeId> sorted;
  while (!ready.empty()) {
    const NodeId n = ready.top();
    ready.pop();
    sorted.push_back(n);
    for (const ValueId v : node(n).outputs)
      for (const NodeId u : value(v).users)
        if (--waiting[static_cast<size_t>(u)] == 0) ready.push(u);
  }
  return sorted;
}

std::string Graph::fresh_name() { return "%" + std::to_string(next_name_++); }

Dim Graph::fresh_symbol(std::string_view stem) {
  std::string s;
  do s = std::string(stem) + "_" + std::to_string((*next_symbol_)++);
  while (symbols.contains(s));
  symbols.try_emplace(s);
  return Dim::symbol(s);
}

}  // namespace lathe
