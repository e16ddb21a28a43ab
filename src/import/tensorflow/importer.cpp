// SPDX-License-Identifier: Apache-2.0
#include "import/tensorflow/importer.h"

#include <algorithm>
#include <charconv>
#include <queue>

#include "import/model_input.h"

namespace lathe::tensorflow {

namespace {

constexpr int kMaxDepth = 64;  // functions that call functions
constexpr size_t kMaxNodes = 1'000'000;

std::string quote(std::string_view s) { return "\"" + std::string(s) + "\""; }

std::string one_line(std::string s) {
  std::ranges::replace(s, '\n', ' ');
  return s;
}

bool is_failed(const Item& i) { return i.kind == Item::Kind::kFailed; }

Item failed() {
  Item i;
  i.kind = Item::Kind::kFailed;
  return i;
}

}  // namespace

Importer::Importer(const proto::Graph& graph, std::shared_ptr<const void> owner, const ImportOptions& options,
                   const std::set<std::string>& changing)
    : model_(graph),
      owner_(std::move(owner)),
      options_(options),
      graph_(std::make_unique<Graph>()),
      builder_(*graph_, options.max_tensor_bytes),
      states_(*graph_),
      changing_(changing) {
  for (const auto& f : model_.functions) functions_.emplace(f.name, &f);
}

Importer::Reference Importer::parse(std::string_view text, bool function) {
  Reference r;
  if (text.starts_with('^')) {
    r.control = true;
    r.node = text.substr(1);
    return r;
  }
  const size_t colon = text.find(':');
  r.node = text.substr(0, colon);
  if (colon == std::string_view::npos) return r;
  std::string_view rest = text.substr(colon + 1);
  if (function) {
    const size_t second = rest.find(':');
    r.output = rest.substr(0, second);
    rest = second == std::string_view::npos ? std::string_view() : rest.substr(second + 1);
  }
  size_t index = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  r.index = error == std::errc() ? index : 0;
  return r;
}

bool Importer::assigns(std::string_view name) const {
  std::unordered_set<std::string_view> seen;
  std::vector<std::string_view> waiting = {name};
  while (!waiting.empty()) {
    const auto at = waiting.back();
    waiting.pop_back();
    const auto found = functions_.find(at);
    if (found == functions_.end() || !seen.insert(at).second) continue;
    for (const auto& n : found->second->nodes) {
      if (n.op.starts_with("Assign")) return true;
      for (const auto& [key, a] : n.attrs)
        if (a.kind == proto::Attr::Kind::kFunction) waiting.push_back(a.s);
    }
  }
  return false;
}

bool Importer::has_effect(const proto::Node& n) const {
  if (n.op.starts_with("Assign")) return true;
  return std::ranges::any_of(n.attrs, [&](const auto& entry) {
    return entry.second.kind == proto::Attr::Kind::kFunction && assigns(entry.second.s);
  });
}

// The nodes that `wanted` needs in some way, producers first and else in the order of the file. `executed`: those whose
// values are needed or that change variables; the others (assertions, prints) only order these.
Result<std::vector<size_t>> Importer::plan(const Frame& f, const std::vector<std::string_view>& wanted,
                                           std::vector<bool>& executed) const {
  const size_t count = f.nodes.size();
  std::vector<std::vector<std::pair<size_t, bool>>> edges(count);  // to producers; true: of data
  const auto target = [&](const Reference& r) -> std::optional<size_t> {
    const auto it = f.index.find(r.node);
    return it == f.index.end() ? std::nullopt : std::optional(it->second);
  };
  for (size_t i = 0; i < count; ++i)
    for (const auto input : f.nodes[i].inputs) {
      const Reference r = parse(input, f.function);
      if (!r.control && f.arguments.contains(r.node)) continue;
      if (const auto t = target(r)) edges[i].emplace_back(*t, !r.control);
    }
  const auto spread = [&](std::vector<size_t> from, bool data_only) {
    std::vector<bool> seen(count, false);
    while (!from.empty()) {
      const size_t at = from.back();
      from.pop_back();
      if (seen[at]) continue;
      seen[at] = true;
      for (const auto& [to, data] : edges[at])
        if ((data || !data_only) && !seen[to]) from.push_back(to);
    }
    return seen;
  };
  std::vector<size_t> roots, data_roots;
  for (const auto w : wanted) {
    const Reference r = parse(w, f.function);
    if (!r.control && f.arguments.contains(r.node)) continue;
    const auto t = target(r);
    if (!t) return damaged(quote(w) + " is not defined");
    roots.push_back(*t);
    if (!r.control) data_roots.push_back(*t);
  }
  const auto reached = spread(roots, false);
  for (size_t i = 0; i < count; ++i)
    if (reached[i] && has_effect(f.nodes[i])) data_roots.push_back(i);
  executed = spread(std::move(data_roots), true);

  std::vector<size_t> waiting(count, 0), order;
  std::vector<std::vector<size_t>> users(count);
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!reached[i]) continue;
    ++total;
    waiting[i] = edges[i].size();
    for (const auto& [to, data] : edges[i]) users[to].push_back(i);
    if (edges[i].empty()) ready.push(i);
  }
  while (!ready.empty()) {
    const size_t i = ready.top();
    ready.pop();
    order.push_back(i);
    for (const size_t u : users[i])
      if (--waiting[u] == 0) ready.push(u);
  }
  if (order.size() == total) return order;
  for (size_t i = 0; i < count; ++i)
    if (reached[i] && waiting[i] != 0 && f.nodes[i].op == "NextIteration")
      return unsupported("node " + quote(scope_ + std::string(f.nodes[i].name)) +
                         ": loops of the first version of TensorFlow (Enter, NextIteration, Exit) are not supported; "
                         "export the model with TensorFlow 2");
  return damaged("the nodes form a cycle");
}

Result<Item> Importer::lookup(const Frame& f, const Reference& r) const {
  if (const auto a = f.arguments.find(r.node); a != f.arguments.end()) {
    if (r.index != 0) return damaged("input " + quote(r.node) + " has no output " + std::to_string(r.index));
    return a->second;
  }
  const auto it = f.index.find(r.node);
  if (it == f.index.end()) return damaged("input " + quote(r.node) + " is not defined");
  const Items& results = f.results[it->second];
  if (results.size() == 1 && is_failed(results[0])) return results[0];
  size_t index = r.index;
  if (!r.output.empty()) {
    const Row* row = find_row(f.nodes[it->second].op);
    std::string_view names = row ? row->outputs : std::string_view();
    for (size_t k = 0; !names.empty(); ++k) {
      const auto comma = std::min(names.find(','), names.size());
      if (names.substr(0, comma) == r.output) index += k;
      names.remove_prefix(std::min(comma + 1, names.size()));
    }
  }
  if (index >= results.size()) return damaged("input " + quote(r.node) + " has no output " + std::to_string(index));
  return results[index];
}

Status Importer::check_names(Frame& f) const {
  for (size_t i = 0; i < f.nodes.size(); ++i)
    if (!f.index.emplace(f.nodes[i].name, i).second) return damaged(quote(f.nodes[i].name) + " is defined twice");
  return {};
}

Result<Items> Importer::run_frame(Frame& f, const std::vector<std::string_view>& wanted, size_t values) {
  if (++depth_ > kMaxDepth)
    return unsupported("functions call each other more than " + std::to_string(kMaxDepth) + " deep");
  std::vector<bool> executed;
  LATHE_TRY(const auto order, plan(f, wanted, executed));
  f.results.resize(f.nodes.size());
  for (const size_t i : order)
    if (executed[i]) LATHE_CHECK(import_node(f, i));
  Items results;
  for (size_t i = 0; i < values; ++i) {
    LATHE_TRY(results.emplace_back(), lookup(f, parse(wanted[i], f.function)));
  }
  --depth_;
  return results;
}

Status Importer::import_node(Frame& f, size_t at) {
  const proto::Node& n = f.nodes[at];
  const std::string name = scope_ + std::string(n.name);
  if (++nodes_seen_ > kMaxNodes || graph_->node_count() > kMaxNodes)
    return unsupported("more than " + std::to_string(kMaxNodes) + " nodes");
  const auto located = [&](const Error& e) {
    return fail(e.code, "node " + quote(name) + " (" + std::string(n.op) + "): " + e.message);
  };
  Items inputs;
  for (const auto text : n.inputs) {
    const Reference r = parse(text, f.function);
    if (r.control) continue;
    auto item = lookup(f, r);
    if (!item) return located(item.error());
    inputs.push_back(*std::move(item));
  }
  f.results[at] = {failed()};
  if (std::ranges::any_of(inputs, is_failed)) return {};
  builder_.begin_node(name);
  const size_t listed = unsupported_.size();
  auto results = translate(n, std::move(inputs));
  if (results) {
    f.results[at] = *std::move(results);
    if (!f.results[at].empty() && f.results[at][0].kind == Item::Kind::kTensor)
      name_value(f.results[at][0].value, name);
    return {};
  }
  Error e = std::move(results).error();
  if (e.code == Code::kUnsupported) {
    if (unsupported_.size() == listed || !e.message.empty())
      unsupported_.push_back("node " + quote(name) + ": " + std::string(n.op) +
                             (e.message.empty() ? "" : ": " + one_line(e.message)));
    return {};
  }
  // Shape rules blame the caller; here that is the model, unless it was given other shapes than its own.
  if (e.code == Code::kUsage && options_.shapes.empty()) e.code = Code::kDamaged;
  return located(e);
}

Result<Items> Importer::translate(const proto::Node& n, Items inputs) {
  const Row* row = find_row(n.op);
  if (!row) {
    if (functions_.contains(n.op)) return call(n.op, inputs, n.name);
    return unsupported("");
  }
  bool complex = false;
  if (row->takes != Takes::kAny)
    for (const Item& i : inputs) {
      const bool tensor = i.kind == Item::Kind::kTensor;
      complex = complex || i.kind == Item::Kind::kComplex;
      if (!tensor && (row->takes == Takes::kTensors || i.kind != Item::Kind::kComplex))
        return unsupported(i.kind == Item::Kind::kComplex ? "complex numbers are not supported here"
                           : i.kind == Item::Kind::kList  ? "lists of tensors are not supported here"
                                                          : "takes tensors only");
      if (builder_.dtype(i.value) == DType::kString) return unsupported("strings are not supported");
    }
  if (!complex) {
    Node node(n, row->name, std::move(inputs), builder_, *this);
    return row->handler(node);
  }
  const auto part = [&](bool imaginary) {
    Items parts;
    for (const Item& i : inputs)
      parts.emplace_back(imaginary && i.kind == Item::Kind::kComplex ? i.imaginary : i.value);
    Node node(n, row->name, std::move(parts), builder_, *this);
    return row->handler(node);
  };
  LATHE_TRY(const Items re, part(false));
  LATHE_TRY(const Items im, part(true));
  Items both;
  for (size_t i = 0; i < re.size(); ++i) both.emplace_back(re[i].value, im[i].value);
  return both;
}

Result<Items> Importer::call(std::string_view name, const Items& arguments, std::string_view caller) {
  const auto found = functions_.find(name);
  if (found == functions_.end()) return damaged("there is no function " + quote(name));
  const proto::Function& function = *found->second;
  if (function.inputs.size() != arguments.size())
    return damaged("function " + quote(name) + " takes " + std::to_string(function.inputs.size()) + " arguments, not " +
                   std::to_string(arguments.size()));
  Frame frame{function.nodes, true};
  for (size_t i = 0; i < arguments.size(); ++i) frame.arguments.emplace(function.inputs[i].name, arguments[i]);
  LATHE_CHECK(check_names(frame));
  std::vector<std::string_view> wanted;
  for (const auto& o : function.outputs) {
    const auto r = function.returns.find(o.name);
    if (r == function.returns.end()) return damaged("function " + quote(name) + " does not return " + quote(o.name));
    wanted.push_back(r->second);
  }
  std::vector<std::string> controls;
  for (const auto c : function.control_returns) controls.push_back("^" + std::string(c));
  wanted.insert(wanted.end(), controls.begin(), controls.end());
  // Keras' layers: "lstm/PartitionedCall" is of the layer "lstm"; calls of whole models have no name of their own.
  const size_t slash = caller.rfind('/');
  std::string outer = scope_;
  if (slash != std::string_view::npos) scope_ += std::string(caller.substr(0, slash + 1));
  auto results = run_frame(frame, wanted, function.outputs.size());
  scope_ = std::move(outer);
  builder_.begin_node(scope_ + std::string(caller));
  return results;
}

void Importer::name_value(ValueId v, const std::string& name) {
  if (v == kNoId || name.empty() || name[0] == '%') return;
  Value& value = graph_->value(v);
  if (value.name[0] == '%' && used_names_.insert(name).second) value.name = name;
}

Result<Item> Importer::variable(const Node& n) {
  auto name = std::string(n.s("shared_name", ""));
  if (name.empty()) name = std::string(n.def().name);
  const auto [at, fresh] = variable_index_.emplace(name, variables_.size());
  if (fresh) variables_.push_back({name, {}, {}, false});
  Item i;
  i.kind = Item::Kind::kVariable;
  i.variable = at->second;
  return i;
}

Result<Item> Importer::read(const Item& handle) {
  if (handle.kind == Item::Kind::kTensor) return handle;  // variables of a frozen graph are constants already
  if (handle.kind != Item::Kind::kVariable) return damaged("reads what is not a variable");
  Variable& v = variables_[handle.variable];
  if (!v.value) {
    if (!checkpoint_) return damaged("variable " + quote(v.name) + " has no value: the model holds no checkpoint");
    const auto restored = restored_.find(v.name);
    const auto key = restored != restored_.end() ? std::optional(restored->second) : checkpoint_->key_of(v.name);
    if (!key) return damaged("variable " + quote(v.name) + " is not in the checkpoint");
    LATHE_TRY(Tensor t, checkpoint_->read(*key));
    if (changing_.contains(v.name)) {
      v.state = states_.add(v.name, std::move(t), used_names_);
      v.value = Item(states_.value(*v.state));
      return *v.value;
    }
    v.value = Item(graph_->add_constant({}, std::move(t)));
    name_value(v.value->value, v.name);
  }
  return *v.value;
}

Status Importer::assign(const Item& handle, Item value) {
  if (handle.kind != Item::Kind::kVariable) return damaged("assigns to what is not a variable");
  Variable& v = variables_[handle.variable];
  v.value = std::move(value);
  v.assigned = true;
  return {};
}

Result<Tensor> Importer::tensor(std::string_view serialised, std::vector<float>* complex) {
  LATHE_TRY(const proto::Tensor t, proto::parse_tensor(serialised));
  const auto part = complex_part(t.dtype);
  const auto dtype = part && complex ? part : dtype_of(t.dtype);
  if (!dtype) return unsupported("constants of element type " + std::to_string(t.dtype) + " are not supported");
  if (!t.shape.known_rank || t.shape.dims.size() > 32) return damaged("a constant's shape is malformed");
  const auto bytes = importer::checked_bytes(*dtype, t.shape.dims, options_.max_tensor_bytes);
  if (!bytes) return damaged("a constant's dimensions give an impossible size");
  size_t count = 1;
  for (const int64_t d : t.shape.dims) count *= static_cast<size_t>(d);
  if (part) {
    if (*part != DType::kF32 || t.floats.size() != 2 * count)
      return unsupported("complex constants are supported in single precision and in full only");
    Tensor re = Tensor::zeros(*dtype, t.shape.dims);
    for (size_t i = 0; i < count; ++i) {
      re.set(static_cast<int64_t>(i), t.floats[2 * i]);
      complex->push_back(static_cast<float>(t.floats[2 * i + 1]));
    }
    return re;
  }
  if (*dtype == DType::kString) {
    if (t.strings.size() > count || count > (size_t{1} << 24)) return damaged("a constant has too many strings");
    std::vector<std::string> values(t.strings.begin(), t.strings.end());
    values.resize(count, values.empty() ? std::string() : values.back());
    return Tensor::of_strings(t.shape.dims, std::move(values));
  }
  if (!t.content.empty()) {
    if (t.content.size() != *bytes)
      return damaged("a constant holds " + std::to_string(t.content.size()) + " bytes, its shape needs " +
                     std::to_string(*bytes));
    return importer::tensor_over(*dtype, t.shape.dims, t.content, owner_);
  }
  // Values given one by one; the last is repeated.
  const bool floats = dtype_info(*dtype).is_float && dtype_bits(*dtype) >= 32;
  const size_t stored = floats ? t.floats.size() : t.ints.size();
  if (stored > count) return damaged("a constant has more values than elements");
  if (count > stored && *bytes > size_t{1} << 30) return unsupported("a constant of one value is larger than 1 GiB");
  Tensor filled = Tensor::zeros(*dtype, t.shape.dims);
  if (stored == 0) return filled;
  const bool bits = dtype_info(*dtype).is_float && !floats;  // 16-bit floats are given by their bits
  for (size_t i = 0; i < count; ++i) {
    const size_t from = std::min(i, stored - 1);
    if (floats)
      filled.set(static_cast<int64_t>(i), t.floats[from]);
    else if (bits)
      filled.mutable_as<uint16_t>()[i] = static_cast<uint16_t>(t.ints[from]);
    else
      filled.set_i64(static_cast<int64_t>(i), t.ints[from]);
  }
  return filled;
}

Status Importer::add_inputs(const proto::Signature& s, Frame& top) {
  std::vector<std::string> names;
  for (const auto& i : s.inputs) names.emplace_back(i.key);
  LATHE_CHECK(importer::check_input_names(options_, names));
  for (const auto& i : s.inputs) {
    const std::string what = "input " + quote(i.key);
    const auto dtype = dtype_of(i.dtype);
    if (!i.plain || !dtype)
      return unsupported(what +
                         (i.plain ? ": element type " + std::to_string(i.dtype) : ": sparse and composite inputs") +
                         (i.plain ? " is not supported" : " are not supported"));
    importer::ModelInput input{std::string(i.key), *dtype, {}};
    if (i.shape.known_rank) {
      input.shape.emplace();
      for (size_t d = 0; d < i.shape.dims.size(); ++d) {
        const int64_t size = i.shape.dims[d];
        if (size < -1 || size > int64_t{1} << 40) return damaged(what + ": dimension " + std::to_string(size));
        // TensorFlow has no names for sizes. The first is the batch, common to all inputs; the others are not related.
        input.shape->push_back(
            size >= 0 ? Dim(size)
            : d == 0  ? Dim::symbol("batch")
                      : Dim::symbol("dim" + std::to_string(graph_->inputs.size()) + "_" + std::to_string(d)));
      }
    }
    LATHE_TRY(const ValueId v, importer::add_model_input(*graph_, input, options_));
    used_names_.insert(input.name);
    const Reference r = parse(i.name, false);
    if (!top.index.contains(r.node)) return damaged(what + ": node " + quote(r.node) + " is not defined");
    if (!top.arguments.emplace(r.node, v).second) return damaged(what + ": a node is two inputs");
  }
  return {};
}

Result<std::unique_ptr<Graph>> Importer::run(const proto::Signature& s) {
  if (s.outputs.empty()) return damaged("signature " + quote(s.key) + " has no outputs");
  Frame top{model_.nodes, false};
  LATHE_CHECK(check_names(top));
  LATHE_CHECK(add_inputs(s, top));
  std::vector<std::string_view> wanted;
  for (const auto& o : s.outputs) {
    if (!o.plain) return unsupported("output " + quote(o.key) + ": sparse and composite outputs are not supported");
    wanted.push_back(o.name);
  }
  LATHE_TRY(const Items results, run_frame(top, wanted, wanted.size()));
  LATHE_CHECK(finish(s, results));
  return std::move(graph_);
}

std::set<std::string> Importer::also_changing() const {
  std::set<std::string> names;
  for (const Variable& v : variables_)
    if (v.assigned && !changing_.contains(v.name)) names.insert(v.name);
  return names;
}

Status Importer::finish(const proto::Signature& s, const Items& results) {
  for (const Variable& v : variables_) {
    if (!v.state || !v.value) continue;
    if (v.value->kind == Item::Kind::kTensor)
      states_.set(*v.state, v.value->value);
    else if (v.value->kind != Item::Kind::kFailed)
      unsupported_.push_back("variable " + quote(v.name) + ": it is set to what is not a tensor of real numbers");
  }
  for (size_t i = 0; i < results.size() && unsupported_.empty(); ++i)
    if (results[i].kind != Item::Kind::kTensor)
      unsupported_.push_back("output " + quote(s.outputs[i].key) + " is not a tensor of real numbers");
  if (!unsupported_.empty()) {
    std::string text = std::to_string(unsupported_.size()) + (unsupported_.size() == 1 ? " node is" : " nodes are") +
                       " not supported:";
    for (const auto& line : unsupported_) text += "\n  " + line;
    return fail(Code::kUnsupported, text);
  }
  for (size_t i = 0; i < results.size(); ++i) {
    graph_->outputs.push_back(results[i].value);
    graph_->output_names.emplace_back(s.outputs[i].key);
  }
  LATHE_CHECK(states_.finish());
  graph_->remove_dead();
  for (size_t i = 0; i < graph_->value_count(); ++i) {
    Value& v = graph_->value(static_cast<ValueId>(i));
    if (v.constant && v.users.empty() && !graph_->is_output(static_cast<ValueId>(i))) v.constant.reset();
  }
  return {};
}

void Importer::use(Checkpoint checkpoint, std::string_view restore_op) {
  checkpoint_ = std::move(checkpoint);
  if (auto ok = find_restored(restore_op); !ok) restored_.clear();
}

// Which variable is stored under which key is written in the graph that restores them: RestoreV2 reads a list of keys,
// and an assignment takes each to its variable. Names alone do not tell: layers of a model may share theirs.
Status Importer::find_restored(std::string_view restore_op) {
  Frame top{model_.nodes, false};
  LATHE_CHECK(check_names(top));
  // Follows a value through nodes that pass it on, to its node's index.
  const auto origin = [](const Frame& f, std::string_view input) {
    Reference r = parse(input, f.function);
    for (size_t steps = 0; steps < 16; ++steps) {
      const auto it = f.index.find(r.node);
      if (it == f.index.end()) break;
      const auto& n = f.nodes[it->second];
      if (n.op != "Identity" || n.inputs.empty()) break;
      r = parse(n.inputs[0], f.function);
    }
    return r;
  };
  const auto node_of = [](const Frame& f, std::string_view name) -> const proto::Node* {
    const auto it = f.index.find(name);
    return it == f.index.end() ? nullptr : &f.nodes[it->second];
  };
  const auto variable_name = [&](std::string_view input) -> std::string {
    const auto* n = node_of(top, origin(top, input).node);
    if (!n || (n->op != "VarHandleOp" && n->op != "VariableV2" && n->op != "Variable")) return {};
    const auto shared = n->attrs.find("shared_name");
    const bool named = shared != n->attrs.end() && !shared->second.s.empty();
    return std::string(named ? shared->second.s : n->name);
  };
  const auto collect = [&](const Frame& f, const proto::Node* caller, const proto::Function* function) -> Status {
    std::unordered_map<std::string_view, std::vector<std::string>> keys;
    for (const auto& n : f.nodes) {
      if ((n.op != "AssignVariableOp" && n.op != "Assign") || n.inputs.size() < 2) continue;
      const Reference value = origin(f, n.inputs[1]);
      const auto* restore = node_of(f, value.node);
      if (!restore || restore->op != "RestoreV2" || restore->inputs.size() < 2) continue;
      auto known = keys.find(restore->name);
      if (known == keys.end()) {
        known = keys.emplace(restore->name, std::vector<std::string>()).first;
        const auto* names = node_of(f, origin(f, restore->inputs[1]).node);
        const auto a = names ? names->attrs.find("value") : proto::Attrs::const_iterator();
        if (!names || names->op != "Const" || a == names->attrs.end()) continue;
        LATHE_TRY(const auto t, proto::parse_tensor(a->second.tensor));
        known->second.assign(t.strings.begin(), t.strings.end());
      }
      if (value.index >= known->second.size()) continue;
      std::string name;
      if (function) {
        const auto argument = origin(f, n.inputs[0]).node;
        for (size_t i = 0; i < function->inputs.size() && i < caller->inputs.size(); ++i)
          if (function->inputs[i].name == argument) name = variable_name(caller->inputs[i]);
      } else {
        name = variable_name(n.inputs[0]);
      }
      if (!name.empty()) restored_.emplace(name, known->second[value.index]);
    }
    return {};
  };
  LATHE_CHECK(collect(top, nullptr, nullptr));
  const auto* caller = node_of(top, parse(restore_op, false).node);
  const auto f = caller ? caller->attrs.find("f") : proto::Attrs::const_iterator();
  if (!caller || f == caller->attrs.end()) return {};
  const auto function = functions_.find(f->second.s);
  if (function == functions_.end()) return {};
  Frame body{function->second->nodes, true};
  LATHE_CHECK(check_names(body));
  return collect(body, caller, function->second);
}

}  // namespace lathe::tensorflow
