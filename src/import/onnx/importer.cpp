// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/importer.h"

#include <algorithm>
#include <filesystem>
#include <queue>

namespace lathe::onnx {

namespace {

constexpr int64_t kOldestOpset = 1, kNewestOpset = 28;
constexpr int kMaxDepth = 64;  // functions that call functions, If inside If
// Nodes that functions and unrolled loops may become: so many, and so many for each node of the file. Without a limit a
// file of a few bytes becomes any number of them.
constexpr size_t kMostExpanded = 10'000, kMostExpandedEach = 32;

size_t node_count(const std::vector<proto::Node>& nodes) {
  size_t count = nodes.size();
  for (const auto& n : nodes)
    for (const auto& a : n.attributes)
      for (const auto& g : a.graphs) count += node_count(g.nodes);
  return count;
}

std::string quote(std::string_view s) { return "\"" + std::string(s) + "\""; }

// Symbols are words in the text form of shapes.
std::string symbol_for(std::string_view param) {
  std::string s(param);
  for (char& c : s)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '/' && c != ':' && c != '#')
      c = '_';
  if (std::isdigit(static_cast<unsigned char>(s[0]))) s = "_" + s;
  return s;
}

// A value in the type of an input; nothing if that cannot hold it.
std::optional<Tensor> converted(const Tensor& value, DType to) {
  if (value.dtype() == to) return value;
  if (dtype_bits(to) == 0 || to == DType::kC64 || to == DType::kC128) return std::nullopt;
  Tensor t = Tensor::zeros(to, value.dims());
  for (int64_t i = 0; i < value.count(); ++i) {
    const bool whole = value.dtype() == DType::kI64;
    if (whole && !dtype_info(to).is_float)
      t.set_i64(i, value.i64_at(i));
    else
      t.set(i, value.f64_at(i));
    if (!dtype_info(to).is_float && t.f64_at(i) != value.f64_at(i)) return std::nullopt;
  }
  return t;
}

// The message of a sub-error in a list of one line each.
std::string one_line(std::string s) {
  std::ranges::replace(s, '\n', ' ');
  return s;
}

}  // namespace

namespace {

void collect_inputs(const proto::Node& n, std::vector<std::string_view>& names) {
  names.insert(names.end(), n.inputs.begin(), n.inputs.end());
  for (const auto& a : n.attributes)
    for (const auto& g : a.graphs) {
      for (const auto& inner : g.nodes) collect_inputs(inner, names);
      for (const auto& o : g.outputs) names.push_back(o.name);
    }
}

// Indices of the nodes, producers before users; as they are listed where that is already so. ONNX asks for this order,
// but some tools do not keep it. Nodes on a cycle come last.
std::vector<size_t> sorted(const std::vector<proto::Node>& nodes) {
  std::unordered_map<std::string_view, size_t> producer;
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const auto o : nodes[i].outputs) producer.emplace(o, i);
  std::vector<std::vector<size_t>> users(nodes.size());
  std::vector<size_t> waiting(nodes.size(), 0), order;
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
    std::vector<std::string_view> names;
    collect_inputs(nodes[i], names);
    for (const auto name : names) {
      const auto it = producer.find(name);
      if (name.empty() || it == producer.end()) continue;
      users[it->second].push_back(i);
      ++waiting[i];
    }
    if (waiting[i] == 0) ready.push(i);
  }
  for (; !ready.empty();) {
    const size_t i = ready.top();
    ready.pop();
    order.push_back(i);
    for (const size_t u : users[i])
      if (--waiting[u] == 0) ready.push(u);
  }
  for (size_t i = 0; i < nodes.size(); ++i)
    if (waiting[i] != 0) order.push_back(i);
  return order;
}

}  // namespace

Importer::Importer(const proto::Model& model, TensorReader reader, const ImportOptions& options,
                   const CustomOperators& operators, std::string path)
    : model_(model), reader_(std::move(reader)), options_(options), operators_(operators), path_(std::move(path)) {
  levels_.push_back(level(std::make_unique<Graph>()));
  size_t nodes = node_count(model.graph.nodes);
  for (const auto& f : model.functions) nodes += node_count(f.nodes);
  most_nodes_ = kMostExpanded + kMostExpandedEach * nodes;
}

Error Importer::located(Error e) const {
  e.message = path_ + ": " + e.message;
  return e;
}

int64_t Importer::opset(std::string_view domain) const {
  for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
    if (s->opsets.empty()) continue;
    const auto it = s->opsets.find(domain);
    return it == s->opsets.end() ? 0 : it->second;
  }
  return 0;
}

Status Importer::check_opsets() {
  for (const auto& o : model_.opsets) scopes_.back().opsets[o.domain] = o.version;
  if (!scopes_.back().opsets.contains("")) {
    // IR versions 1 and 2 had no opset_import; without it, models of other domains alone are possible.
    scopes_.back().opsets[""] = model_.ir_version < 3 ? 1 : kNewestOpset;
  }
  const int64_t version = opset("");
  if (version < kOldestOpset || version > kNewestOpset)
    return fail(Code::kUnsupported, "opset " + std::to_string(version) + " of ai.onnx is not known; lathe knows " +
                                        std::to_string(kOldestOpset) + " to " + std::to_string(kNewestOpset) +
                                        ". Export the model for one of these");
  return {};
}

Importer::Binding* Importer::find(std::string_view name, size_t* level) {
  for (auto s = scopes_.rbegin(); s != scopes_.rend(); ++s) {
    const auto it = s->names.find(name);
    if (it != s->names.end()) {
      if (level) *level = s->level;
      return &it->second;
    }
    if (!s->opsets.empty() && s != std::prev(scopes_.rend())) return nullptr;  // a function sees only its own names
  }
  return nullptr;
}

Result<ValueId> Importer::lookup(std::string_view name) {
  size_t level = 0;
  Binding* found = find(name, &level);
  if (!found) {
    const bool later = scopes_.back().later.contains(name);
    return fail(Code::kDamaged, later ? "input " + quote(name) + " is computed from itself: the nodes form a cycle"
                                      : "input " + quote(name) + " is not defined");
  }
  if (found->value == kNoId && found->initializer) {
    auto t = reader_.read(*found->initializer);
    if (!t) return std::unexpected(t.error());
    found->value = levels_[level].graph->add_constant({}, *std::move(t));
    if (level + 1 == levels_.size()) name_value(found->value, name);
  }
  return found->value == kNoId ? kNoId : capture(found->value, level);
}

Status Importer::bind(std::string_view name, Binding binding) {
  if (!scopes_.back().names.emplace(name, binding).second)
    return fail(Code::kDamaged, quote(name) + " is defined twice");
  return {};
}

void Importer::name_value(ValueId v, std::string_view name) {
  if (v < 0) return;
  Value& value = graph().value(v);
  if (name.empty() || value.name[0] != '%' || name[0] == '%') return;
  std::string s(name);
  if (used_names_.insert(s).second) value.name = std::move(s);
}

Status Importer::add_input(const proto::ValueInfo& v) {
  const std::string name(v.name);
  const std::string what = "input " + quote(name);
  if (name.empty()) return fail(Code::kDamaged, "an input has no name");
  using Kinds = std::vector<std::string_view>;
  const bool optional = v.kinds.size() > 1 && v.kinds[0] == "optional";
  const Kinds held(v.kinds.begin() + (optional ? 1 : 0), v.kinds.end());
  if (held != Kinds{"tensor"} && held != Kinds{"sequence", "tensor"})
    return fail(Code::kUnsupported,
                what + ": " + (held.empty() ? "untyped" : std::string(held[0])) + " inputs are not supported");
  const bool absent = left_out(name);
  if (held.size() == 1 && !optional) {
    if (absent) return fail(Code::kUsage, what + " is a tensor, which cannot be left out");
    LATHE_TRY(const ValueId x, tensor_input(v, name));
    return bind(v.name, {x});
  }
  if (optional && absent) return bind(v.name, {aggregate(Aggregate::Kind::kOptional, {})});
  if (optional && held.size() == 1 && !options_.shapes.contains(name))
    return fail(Code::kUnsupported, what + " is optional, and whether it is given must be known: build with --shape " +
                                        name + "=DIMS, or with --shape " + name + "=none");
  LATHE_TRY(const ValueId x, held.size() == 1 ? tensor_input(v, name) : sequence_input(v));
  return bind(v.name, {optional ? aggregate(Aggregate::Kind::kOptional, {x}) : x});
}

// A sequence is as many inputs as shapes are given: x.0, x.1 …
Result<ValueId> Importer::sequence_input(const proto::ValueInfo& v) {
  const std::string name(v.name);
  Values elements;
  for (size_t i = 0;; ++i) {
    const std::string element = name + "." + std::to_string(i);
    if (!options_.shapes.contains(element)) break;
    LATHE_TRY(elements.emplace_back(), tensor_input(v, element));
  }
  if (elements.empty() && !left_out(name))
    return fail(Code::kUnsupported, "input " + quote(name) +
                                        " is a sequence, and how many tensors it holds must be known: build with "
                                        "--shape " +
                                        name + ".0=DIMS --shape " + name + ".1=DIMS …, or with --shape " + name +
                                        "=none for an empty one");
  return aggregate(Aggregate::Kind::kSequence, std::move(elements));
}

Result<ValueId> Importer::tensor_input(const proto::ValueInfo& v, const std::string& name) {
  const std::string what = "input " + quote(name);
  if (v.elem_type < 1 || !dtype_valid(static_cast<uint64_t>(v.elem_type)))
    return fail(Code::kDamaged, what + ": element type " + std::to_string(v.elem_type) + " is not supported");
  if (const auto fixed = options_.values.find(name); fixed != options_.values.end()) {
    const auto value = converted(fixed->second, static_cast<DType>(v.elem_type));
    bool fits = value && (!v.has_shape || value->dims().size() == v.dims.size());
    for (size_t d = 0; fits && v.has_shape && d < v.dims.size(); ++d)
      fits = v.dims[d].value < 0 || v.dims[d].value == value->dims()[d];
    if (!fits)
      return fail(Code::kUsage, what + ": the given value does not fit the type or shape of the model's input");
    used_names_.insert(name);
    return graph().add_constant(name, *value);
  }
  const auto given = options_.shapes.find(name);
  if (!v.has_shape && given == options_.shapes.end())
    return fail(Code::kUnsupported, what + " has no shape in the model; give one with --shape " + name + "=…");
  if (v.dims.size() > 32) return fail(Code::kUnsupported, what + ": rank above 32");
  Shape shape;
  for (size_t d = 0; d < v.dims.size(); ++d) {
    const auto& dim = v.dims[d];
    if (dim.value < -1 || dim.value > int64_t{1} << 40)
      return fail(Code::kDamaged, what + ": dimension " + std::to_string(dim.value));
    if (dim.value >= 0)
      shape.emplace_back(dim.value);
    else
      shape.push_back(dim.param.empty() ? graph().fresh_symbol(symbol_for(name) + "_dim" + std::to_string(d))
                                        : Dim::symbol(symbol_for(dim.param)));
  }
  if (name == v.name)  // the tensors of a sequence each have their own sizes
    for (Dim& d : shape) d = d.substitute(fixed_symbols_);
  if (given != options_.shapes.end()) {
    const Shape& wanted = given->second;
    bool fits = !v.has_shape || wanted.size() == shape.size();
    for (size_t d = 0; fits && v.has_shape && d < shape.size(); ++d)
      fits = !shape[d].is_const() || shape[d] == wanted[d];
    if (!fits)
      return fail(Code::kUsage,
                  what + ": shape " + shape_str(wanted) + " does not fit the model's " + shape_str(shape));
    shape = wanted;
  }
  const auto dims = static_dims(shape);
  if (dims && !importer::checked_bytes(static_cast<DType>(v.elem_type), *dims, options_.max_tensor_bytes))
    return fail(Code::kDamaged, what + ": shape " + shape_str(shape) + " gives an impossible size");
  if (!used_names_.insert(name).second) return fail(Code::kDamaged, what + " is defined twice");
  return graph().add_input(name, static_cast<DType>(v.elem_type), std::move(shape));
}

Result<std::unique_ptr<Graph>> Importer::run() {
  scopes_.emplace_back();
  const proto::Graph& g = model_.graph;
  graph().name = g.name;
  if (auto ok = check_opsets(); !ok) return std::unexpected(located(ok.error()));
  std::unordered_set<std::string_view> initialized;
  for (const auto& t : g.initializers) initialized.insert(t.name);
  const auto declared = [&](const std::string& name) {
    return std::ranges::find_if(g.inputs,
                                [&](const auto& v) { return v.name == name && !initialized.contains(v.name); });
  };
  const auto no_input = [&](const std::string& name) {
    std::string names;
    for (const auto& i : g.inputs)
      if (!initialized.contains(i.name)) names += (names.empty() ? "" : ", ") + std::string(i.name);
    return fail(Code::kUsage, path_ + ": there is no input " + quote(name) + "; the model's are: " + names);
  };
  for (const auto& [name, value] : options_.values)
    if (declared(name) == g.inputs.end()) return no_input(name);
  for (const auto& [name, shape] : options_.shapes) {
    auto v = declared(name);
    if (const auto dot = name.rfind('.'); v == g.inputs.end() && dot != std::string::npos) {  // of a sequence
      v = declared(name.substr(0, dot));
      if (v != g.inputs.end() && (v->kinds.empty() || !std::ranges::count(v->kinds, "sequence"))) v = g.inputs.end();
    }
    if (v == g.inputs.end()) return no_input(name);
    if (v->name == name && v->has_shape && v->dims.size() == shape.size())
      for (size_t d = 0; d < shape.size(); ++d)
        if (v->dims[d].value < 0 && !v->dims[d].param.empty())
          fixed_symbols_.emplace(symbol_for(v->dims[d].param), shape[d]);
  }
  const auto fill = [&]() -> Status {
    if (g.sparse_initializers) return fail(Code::kUnsupported, "sparse initializers are not supported");
    for (const auto& t : g.initializers) LATHE_CHECK(bind(t.name, {kNoId, &t}));
    for (const auto& v : g.inputs)  // up to IR version 3, initializers are inputs too
      if (!initialized.contains(v.name)) LATHE_CHECK(add_input(v));
    LATHE_CHECK(import_nodes(g.nodes));
    if (!unsupported_.empty()) {
      std::string text = std::to_string(unsupported_.size()) + (unsupported_.size() == 1 ? " node is" : " nodes are") +
                         " not supported:";
      for (const auto& line : unsupported_) text += "\n  " + line;
      return fail(Code::kUnsupported, text);
    }
    if (g.outputs.empty()) return fail(Code::kDamaged, "the model has no outputs");
    std::unordered_set<std::string_view> seen;
    for (const auto& v : g.outputs) {
      if (!seen.insert(v.name).second) return fail(Code::kDamaged, "output " + quote(v.name) + " is listed twice");
      auto value = lookup(v.name);
      if (!value) return fail(Code::kDamaged, "output " + quote(v.name) + " is not computed by any node");
      LATHE_CHECK(add_output(*value, std::string(v.name)));
    }
    if (graph().outputs.empty()) return fail(Code::kUnsupported, "with these inputs the model gives no tensor");
    return {};
  };
  if (auto ok = fill(); !ok) return std::unexpected(located(ok.error()));
  graph().remove_dead();
  drop_unused_constants();
  return std::move(levels_.front().graph);
}

// The tensors of a sequence are outputs of their own: y.0, y.1 …
Status Importer::add_output(ValueId value, const std::string& name) {
  const Aggregate* a = aggregate_of(value);
  if (!a) {
    if (std::ranges::find(graph().output_names, name) != graph().output_names.end())
      return fail(Code::kDamaged, "output " + quote(name) + " is listed twice");
    graph().outputs.push_back(value);
    graph().output_names.push_back(name);
    return {};
  }
  if (a->kind == Aggregate::Kind::kStacked)
    return fail(Code::kUnsupported, "output " + quote(name) + " is a sequence whose length only the run tells; give " +
                                        "its tensors out as one (ConcatFromSequence)");
  const Aggregate whole = *a;
  for (size_t i = 0; i < whole.elements.size(); ++i)
    LATHE_CHECK(add_output(whole.elements[i],
                           whole.kind == Aggregate::Kind::kOptional ? name : name + "." + std::to_string(i)));
  return {};
}

// Weights that were transposed or folded leave their first form behind.
void Importer::drop_unused_constants() {
  for (size_t i = 0; i < graph().value_count(); ++i) {
    Value& v = graph().value(static_cast<ValueId>(i));
    if (v.constant && v.users.empty() && !graph().is_output(static_cast<ValueId>(i))) v.constant.reset();
  }
}

Status Importer::import_nodes(const std::vector<proto::Node>& nodes) {
  if (++depth_ > kMaxDepth)
    return fail(Code::kUnsupported,
                "subgraphs or functions are nested more than " + std::to_string(kMaxDepth) + " deep");
  for (const auto& n : nodes)
    for (const auto o : n.outputs) scopes_.back().later.insert(o);
  for (const size_t i : sorted(nodes)) {
    const auto& n = nodes[i];
    if (++imported_ > most_nodes_)
      return fail(Code::kUnsupported, "functions and loops make more than " + std::to_string(most_nodes_) + " nodes");
    const std::string label = !n.name.empty()      ? quote(n.name)
                              : !n.outputs.empty() ? "that computes " + quote(n.outputs[0])
                                                   : "number " + std::to_string(i);
    LATHE_CHECK(import_node(n, label));
  }
  --depth_;
  return {};
}

Status Importer::import_node(const proto::Node& n, const std::string& label) {
  const int64_t version = opset(n.domain);
  const std::string kind = std::string(n.domain.empty() ? "ai.onnx" : n.domain) + "." + std::string(n.op_type) +
                           " (opset " + std::to_string(version) + ")";
  Values inputs;
  bool failed = false;
  for (const auto name : n.inputs) {
    ValueId v = kNoId;
    if (!name.empty()) {
      auto found = lookup(name);
      if (!found) {
        if (found.error().code == Code::kUnsupported) {
          unsupported_.push_back("node " + label + ": " + kind + ": " + one_line(found.error().message));
          failed = true;
          continue;
        }
        return fail(found.error().code,
                    "node " + label + " (" + std::string(n.op_type) + "): " + found.error().message);
      }
      failed = failed || find(name)->failed;
      v = *found;
    }
    inputs.push_back(v);
  }
  const bool known =
      find_row(n.domain, n.op_type) || find_custom(n) ||
      std::ranges::any_of(model_.functions, [&](const auto& f) { return f.name == n.op_type && f.domain == n.domain; });
  Values outputs;
  if (!known || version == 0) {
    unsupported_.push_back(
        "node " + label + ": " + kind +
        (known ? ": the model does not import this operator set"
         : n.domain.empty() || n.domain.starts_with("ai.onnx")
             ? ""
             : ": if it is an operator of your own, give lathe its code (docs/custom-operators.md)"));
    failed = true;
  } else if (!failed) {
    builder().begin_node(n.name.empty() && !n.outputs.empty() ? std::string(n.outputs[0]) : std::string(n.name));
    auto r = translate(n, std::move(inputs));
    if (!r) {
      Error e = std::move(r).error();
      if (e.code == Code::kUnsupported) {
        if (!e.message.empty()) unsupported_.push_back("node " + label + ": " + kind + ": " + one_line(e.message));
        failed = true;
      } else {
        // Shape rules blame the caller; here that is the model, unless it was given other shapes than its own.
        if (e.code == Code::kUsage && options_.shapes.empty()) e.code = Code::kDamaged;
        return fail(e.code, "node " + label + " (" + std::string(n.op_type) + "): " + e.message);
      }
    } else {
      outputs = *std::move(r);
      if (outputs.size() < n.outputs.size()) {
        const bool wanted = std::any_of(n.outputs.begin() + static_cast<ptrdiff_t>(outputs.size()), n.outputs.end(),
                                        [](auto o) { return !o.empty(); });
        if (wanted)
          return fail(Code::kDamaged,
                      "node " + label + " (" + std::string(n.op_type) + ") has more outputs than its operator");
      }
    }
  }
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (n.outputs[i].empty()) continue;
    scopes_.back().later.erase(n.outputs[i]);
    const ValueId v = failed || i >= outputs.size() ? kNoId : outputs[i];
    if (v == kNoId && !failed) {
      unsupported_.push_back("node " + label + ": " + kind + ": output " + std::to_string(i) + " is not supported");
      failed = true;
    }
    if (auto ok = bind(n.outputs[i], {v, nullptr, v == kNoId}); !ok)
      return fail(Code::kDamaged, "node " + label + ": " + ok.error().message);
    if (v != kNoId) name_value(v, n.outputs[i]);
  }
  return {};
}

std::shared_ptr<const lathe_operator> Importer::find_custom(const proto::Node& n) const {
  if (find_row(n.domain, n.op_type)) return nullptr;
  for (const auto& op : operators_)
    if (op->domain == n.domain && op->name == n.op_type) return op;
  return nullptr;
}

Result<Values> Importer::translate(const proto::Node& n, Values inputs) {
  const auto registered = find_custom(n);
  for (const auto& f : model_.functions)
    if (!registered && f.name == n.op_type && f.domain == n.domain) return call_function(f, n, std::move(inputs));
  for (const auto& a : n.attributes)
    if (!a.ref_name.empty())
      return fail(Code::kDamaged,
                  "attribute " + quote(a.name) + " refers to a function's attribute outside a function");
  const Row* row = find_row(n.domain, n.op_type);
  for (size_t i = 0; i < inputs.size() && !(row && row->aggregates); ++i)
    if (const Aggregate* a = aggregate_of(inputs[i]))
      return unsupported("input " + std::to_string(i) + " is " +
                         (a->kind == Aggregate::Kind::kOptional ? "an optional" : "a sequence") +
                         ", the operator takes tensors");
  if (registered) return custom(n, registered, std::move(inputs));
  Node node(n, row->name, opset(n.domain), std::move(inputs), builder(), *this);
  return row->handler(node);
}

Result<Values> Importer::call_function(const proto::Function& f, const proto::Node& call, Values inputs) {
  if (inputs.size() > f.inputs.size())
    return fail(Code::kDamaged, "the function takes " + std::to_string(f.inputs.size()) + " inputs");
  Scope scope;
  for (const auto& o : f.opsets) scope.opsets[o.domain] = o.version;
  if (scope.opsets.empty()) scope.opsets[""] = opset("");
  for (size_t i = 0; i < inputs.size(); ++i) scope.names[f.inputs[i]] = {inputs[i]};
  // An absent optional input stays absent inside: its name is dropped from the nodes.
  std::unordered_set<std::string_view> absent;
  for (size_t i = 0; i < f.inputs.size(); ++i)
    if (i >= inputs.size() || inputs[i] == kNoId) absent.insert(f.inputs[i]);
  std::vector<proto::Node> body = f.nodes;
  for (auto& n : body) {
    for (auto& name : n.inputs)
      if (absent.contains(name)) name = {};
    std::vector<proto::Attribute> bound;
    for (auto& a : n.attributes) {
      if (a.ref_name.empty()) {
        bound.push_back(std::move(a));
        continue;
      }
      const auto* given = [&]() -> const proto::Attribute* {
        for (const auto* list : {&call.attributes, &f.defaults})
          if (const auto it = std::ranges::find(*list, a.ref_name, &proto::Attribute::name); it != list->end())
            return &*it;
        return nullptr;
      }();
      if (!given) continue;
      bound.push_back(*given);
      bound.back().name = a.name;
    }
    n.attributes = std::move(bound);
  }
  scope.level = levels_.size() - 1;
  scopes_.push_back(std::move(scope));
  const size_t before = unsupported_.size();
  auto ok = import_nodes(body);
  Values outputs;
  if (ok && unsupported_.size() == before)
    for (const auto name : f.outputs) {
      auto v = lookup(name);
      if (!v) {
        ok = std::unexpected(v.error());
        break;
      }
      outputs.push_back(*v);
    }
  scopes_.pop_back();
  if (!ok) return std::unexpected(ok.error());
  if (unsupported_.size() != before) return fail(Code::kUnsupported, {});  // already listed
  return outputs;
}

Result<std::unique_ptr<Graph>> import_onnx(const std::string& path, const ImportOptions& options,
                                           const CustomOperators& operators) {
  LATHE_TRY(const FileBytes file, map_file(path));
  auto model = proto::parse_model(file.bytes);
  if (!model) return fail(model.error().code, path + ": " + model.error().message);
  if (!model->has_graph) return fail(Code::kDamaged, path + ": an ONNX model without a graph");
  const std::string folder = std::filesystem::path(path).parent_path().string();
  Importer importer(*model, TensorReader(file, folder.empty() ? "." : folder, options.max_tensor_bytes), options,
                    operators, path);
  return importer.run();
}

}  // namespace lathe::onnx
