// SPDX-License-Identifier: Apache-2.0
// Subgraphs: imported in place, or as graphs for a node to hold.
#include "import/onnx/importer.h"

namespace lathe::onnx {

namespace {

// A few bytes of a model may ask for any amount of memory: unless the caller sets a limit, results are smaller than
// this, or no larger than an input of their node.
constexpr size_t kMostResultBytes = size_t{1} << 30;

size_t most_result_bytes(const ImportOptions& options) {
  return options.max_tensor_bytes == ImportOptions().max_tensor_bytes ? kMostResultBytes : options.max_tensor_bytes;
}

}  // namespace

Importer::Level Importer::level(std::unique_ptr<Graph> graph) const {
  Level l;
  l.builder = std::make_unique<importer::Builder>(*graph, most_result_bytes(options_));
  l.graph = std::move(graph);
  return l;
}

ValueId Importer::capture(ValueId v, size_t level) {
  if (level + 1 == levels_.size()) return v;
  if (const Aggregate* a = aggregate_of(v)) {
    Aggregate inner = *a;
    for (ValueId& e : inner.elements) e = capture(e, level);
    return aggregate(inner.kind, std::move(inner.elements));
  }
  for (; level + 1 < levels_.size(); ++level) {
    Level& inner = levels_[level + 1];
    const auto [it, fresh] = inner.seen.try_emplace(v, kNoId);
    if (fresh) {
      const Graph& outer = *levels_[level].graph;
      const Value& x = outer.value(v);
      if (x.constant) {
        it->second = inner.graph->add_constant({}, *x.constant);
      } else {
        it->second = inner.graph->add_input(x.name[0] == '%' ? std::string() : x.name, x.dtype, x.shape);
        inner.graph->value(it->second).content = x.content;
        for (const auto& [name, range] : outer.symbols) inner.graph->symbols.try_emplace(name, range);
        inner.captured.push_back(v);
      }
    }
    v = it->second;
  }
  return v;
}

// The nodes of `g` in the innermost scope.
Status Importer::import_body(const proto::Graph& g, Values& outputs) {
  const size_t before = unsupported_.size();
  for (const auto& t : g.initializers)
    if (!scopes_.back().names.contains(t.name)) LATHE_CHECK(bind(t.name, {kNoId, &t}));
  LATHE_CHECK(import_nodes(g.nodes));
  if (unsupported_.size() != before) return fail(Code::kUnsupported, {});  // already listed
  for (const auto& v : g.outputs) {
    LATHE_TRY(outputs.emplace_back(), lookup(v.name));
    if (outputs.back() == kNoId) return fail(Code::kUnsupported, {});  // depends on what is listed already
  }
  return {};
}

Result<Values> Importer::inline_graph(const proto::Graph& g, const Values& inputs) {
  if (g.inputs.size() != inputs.size()) return damaged("the subgraph takes another number of inputs");
  Scope scope;
  scope.level = levels_.size() - 1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    scope.names[g.inputs[i].name] = {inputs[i]};
    name_value(inputs[i], g.inputs[i].name);
  }
  scopes_.push_back(std::move(scope));
  Values outputs;
  auto ok = import_body(g, outputs);
  scopes_.pop_back();
  if (!ok) return std::unexpected(ok.error());
  return outputs;
}

Result<Importer::Nested> Importer::import_nested(const proto::Graph& g, const std::vector<Type>& inputs) {
  LATHE_TRY(Nested nested, nest(inputs, [&](const Values& formal) { return inline_graph(g, formal); }));
  nested.graph->name = g.name;
  return nested;
}

Result<Importer::Nested> Importer::nest(const std::vector<Type>& inputs,
                                        const std::function<Result<Values>(const Values&)>& fill) {
  const auto names_before = used_names_;
  levels_.push_back(level(graph().nested()));
  Scope scope;
  scope.level = levels_.size() - 1;
  scopes_.push_back(std::move(scope));
  Values formal;
  for (const Type& t : inputs) formal.push_back(graph().add_input({}, t.dtype, t.shape));
  builder().begin_node(levels_[levels_.size() - 2].builder->node_name());
  auto outputs = fill(formal);
  if (outputs && !builder().ok()) outputs = std::unexpected(builder().status().error());
  scopes_.pop_back();
  Level done = std::move(levels_.back());
  levels_.pop_back();
  used_names_ = names_before;  // a second try finds the names free; graphs do not share theirs
  if (!outputs) return std::unexpected(outputs.error());
  Graph& g = *done.graph;
  g.outputs = *outputs;
  for (const ValueId v : g.outputs) g.output_names.push_back(g.value(v).name);
  g.remove_dead();
  for (size_t i = 0; i < g.value_count(); ++i) {
    Value& v = g.value(static_cast<ValueId>(i));
    if (v.constant && v.users.empty() && !g.is_output(static_cast<ValueId>(i))) v.constant.reset();
  }
  return Nested{std::move(done.graph), std::move(done.captured)};
}

}  // namespace lathe::onnx
