// SPDX-License-Identifier: Apache-2.0
#include "import/pt2/importer.h"

#include <algorithm>
#include <limits>

#include "import/archive.h"

namespace lathe::pt2 {

namespace {

using schema::Argument;
using Kind = Argument::Kind;

constexpr int kMaxDepth = 16;    // graphs inside graphs
constexpr int kMaxViews = 1000;  // of each other
constexpr size_t kMaxNodes = 1'000'000;
constexpr size_t kMaxJson = size_t{256} << 20;
constexpr int64_t kMaxSize = int64_t{1} << 40;

std::string quote(std::string_view s) { return "\"" + std::string(s) + "\""; }

std::string one_line(std::string s) {
  std::ranges::replace(s, '\n', ' ');
  return s;
}

// "aten.add" of "torch.ops.aten.add.Tensor".
std::string_view operator_of(std::string_view target) {
  if (!target.starts_with("torch.ops.")) return target;
  target.remove_prefix(10);
  const auto first = target.find('.'), last = target.rfind('.');
  return last > first ? target.substr(0, last) : target;
}

}  // namespace

std::vector<std::string> output_names(const schema::Node& node) {
  std::vector<std::string> names;
  const auto add = [&](const Argument& a) { names.push_back(a.kind == Kind::kOther ? std::string() : a.text); };
  for (const Argument& o : node.outputs) {
    if (o.kind == Kind::kList)
      for (const Argument& item : o.items) add(item);
    else
      add(o);
  }
  return names;
}

Importer::Importer(const schema::Program& program, Weights weights, const ImportOptions& options, std::string path,
                   std::unique_ptr<Graph> graph)
    : program_(program),
      weights_(std::move(weights)),
      options_(options),
      path_(std::move(path)),
      graph_(std::move(graph)),
      builder_(*graph_, options.max_tensor_bytes) {}

std::string Importer::label(const schema::Node& node) const {
  return node.module.empty() ? node.name : node.module + "/" + node.name;
}

void Importer::name_value(ValueId v, const std::string& name) {
  Value& value = graph_->value(v);
  if (name.empty() || value.name[0] != '%' || name[0] == '%') return;
  if (used_names_.insert(name).second) value.name = name;
}

Status Importer::bind(const std::string& name, Binding binding) {
  if (name.empty()) return {};
  if (!names_.emplace(prefix_ + name, std::move(binding)).second) return damaged(quote(name) + " is defined twice");
  return {};
}

std::string Importer::resolved(std::string_view name) const {
  std::string full = prefix_ + std::string(name);
  for (auto it = names_.find(full); it != names_.end() && !it->second.alias.empty(); it = names_.find(full))
    full = it->second.alias;
  return full;
}

Importer::Binding* Importer::find(std::string_view name) {
  const auto it = names_.find(resolved(name));
  return it == names_.end() ? nullptr : &it->second;
}

Result<ValueId> Importer::current(Binding& b) {
  if (b.kind == Binding::Kind::kFailed) return unsupported("");
  if (b.kind != Binding::Kind::kTensor) return damaged("a number is used as a tensor");
  if (b.value == kNoId && b.stored) {
    const auto& spec = *b.stored;
    const bool state = spec.kind == schema::InputSpec::Kind::kState && weights_.has_state(spec.target);
    LATHE_TRY(Tensor t, state ? weights_.state(spec.target) : weights_.constant(spec.target));
    if (const auto meta = program_.graph.tensors.find(spec.arg.text); meta != program_.graph.tensors.end())
      if (meta->second.dtype != t.dtype() || (meta->second.sizes && static_dims(*meta->second.sizes) != t.dims()))
        return damaged("tensor " + quote(spec.target) + " is stored in another size or type than the graph has it");
    b.value = graph_->add_constant({}, std::move(t));
    name_value(b.value, spec.target);
  }
  if (b.view) {
    LATHE_TRY(const int64_t now, version_of(b.parent));
    if (now != b.seen) {
      auto& parent = names_.at(b.parent);
      LATHE_TRY(const ValueId base, current(parent));
      LATHE_TRY(const Values made, call(*b.view, *find_row(operator_of(b.view->target)), base));
      if (b.output >= made.size()) return damaged("a view has fewer results than its node");
      b.value = made[b.output];
      b.seen = now;
      ++b.version;
    }
  }
  return b.value;
}

// Brings the views on the way up to date.
Result<int64_t> Importer::version_of(const std::string& name) {
  Binding& b = names_.at(name);
  if (b.view)
    LATHE_CHECK([&]() -> Status {
      LATHE_TRY([[maybe_unused]] const ValueId v, current(b));
      return {};
    }());
  return b.version;
}

Result<ValueId> Importer::tensor(std::string_view name) {
  Binding* b = find(name);
  if (!b) return damaged("input " + quote(name) + " is not defined");
  LATHE_TRY(const ValueId v, current(*b));
  if (v == kNoId) return unsupported("it uses " + quote(name) + ", a result that is not supported");
  return v;
}

Result<Dim> Importer::size(std::string_view name) {
  const Binding* b = find(name);
  if (!b) return damaged("input " + quote(name) + " is not defined");
  if (b->kind == Binding::Kind::kFailed) return unsupported("");
  if (b->kind == Binding::Kind::kSize) return b->dim;
  return unsupported("it uses " + quote(name) + ", which is not known before the model runs");
}

Result<double> Importer::real(std::string_view name) {
  const Binding* b = find(name);
  if (!b) return damaged("input " + quote(name) + " is not defined");
  if (b->kind == Binding::Kind::kFailed) return unsupported("");
  if (b->kind == Binding::Kind::kReal) return b->real;
  if (b->kind == Binding::Kind::kSize && b->dim.is_const()) return static_cast<double>(b->dim.value());
  return unsupported("it uses " + quote(name) + ", which is not known before the model runs");
}

Status Importer::add_user_input(const schema::InputSpec& spec) {
  const std::string& name = spec.arg.text;
  const std::string what = "input " + quote(name);
  if (spec.arg.kind == Kind::kSymInt || spec.arg.kind == Kind::kSymFloat || spec.arg.kind == Kind::kSymBool)
    return unsupported(what + " is a number that may change; export the model with a constant or a tensor for it");
  if (spec.arg.kind != Kind::kTensor) return {};  // a constant, which the graph holds where it is used
  const auto meta = program_.graph.tensors.find(name);
  if (meta == program_.graph.tensors.end()) return damaged(what + " has no type");
  if (meta->second.dtype == DType::kUndefined || !meta->second.strided)
    return unsupported(what + " has an element type or layout that is not supported");
  if (!meta->second.sizes) return unsupported(what + " has a size that is too complicated an expression");
  const DType dtype = meta->second.dtype;
  Shape shape = *meta->second.sizes;
  if (shape.size() > 32) return unsupported(what + ": rank above 32");
  if (const auto fixed = options_.values.find(name); fixed != options_.values.end()) {
    if (fixed->second.dtype() != dtype || fixed->second.dims().size() != shape.size())
      return fail(Code::kUsage, what + ": the given value has another type or rank than the model's input");
    used_names_.insert(name);
    return bind(name, {.value = graph_->add_constant(name, fixed->second), .outside = name});
  }
  for (Dim& d : shape) d = d.substitute(fixed_symbols_);
  if (const auto given = options_.shapes.find(name); given != options_.shapes.end()) {
    const Shape& wanted = given->second;
    bool fits = wanted.size() == shape.size();
    for (size_t d = 0; fits && d < shape.size(); ++d) fits = !shape[d].is_const() || shape[d] == wanted[d];
    if (!fits)
      return fail(Code::kUsage,
                  what + ": shape " + shape_str(wanted) + " does not fit the model's " + shape_str(shape));
    shape = wanted;
  }
  for (const Dim& d : shape)
    if (d.is_const() && (d.value() < 0 || d.value() > kMaxSize)) return damaged(what + ": impossible size");
  const auto dims = static_dims(shape);
  if (dims && !importer::checked_bytes(dtype, *dims, options_.max_tensor_bytes))
    return damaged(what + ": shape " + shape_str(shape) + " gives an impossible size");
  used_names_.insert(name);
  return bind(name, {.value = graph_->add_input(name, dtype, std::move(shape)), .outside = name});
}

Status Importer::add_inputs() {
  using SpecKind = schema::InputSpec::Kind;
  std::vector<const schema::InputSpec*> user;
  for (const auto& spec : program_.inputs)
    if (spec.kind == SpecKind::kUser && spec.arg.kind == Kind::kTensor) user.push_back(&spec);
  const auto no_input = [&](const std::string& name) {
    std::string names;
    for (const auto* spec : user) names += (names.empty() ? "" : ", ") + spec->arg.text;
    return fail(Code::kUsage, "there is no input " + quote(name) + "; the model's are: " + names);
  };
  const auto known = [&](const std::string& name) {
    return std::ranges::find_if(user, [&](const auto* spec) { return spec->arg.text == name; });
  };
  for (const auto& [name, value] : options_.values)
    if (known(name) == user.end()) return no_input(name);
  for (const auto& [name, shape] : options_.shapes) {
    const auto spec = known(name);
    if (spec == user.end()) return no_input(name);
    const auto meta = program_.graph.tensors.find(name);
    if (meta == program_.graph.tensors.end() || !meta->second.sizes || meta->second.sizes->size() != shape.size())
      continue;
    for (size_t d = 0; d < shape.size(); ++d)
      if (const auto symbol = (*meta->second.sizes)[d].symbol_name(); !symbol.empty())
        fixed_symbols_.emplace(symbol, shape[d]);
  }
  for (const auto& spec : program_.inputs) {
    if (spec.kind == SpecKind::kUser) {
      LATHE_CHECK(add_user_input(spec));
    } else if (spec.kind == SpecKind::kOther) {
      LATHE_CHECK(bind(spec.arg.text, {.kind = Binding::Kind::kOpaque}));
    } else {
      LATHE_CHECK(bind(spec.arg.text, {.stored = &spec, .outside = spec.target}));
    }
  }
  for (const auto& [name, range] : program_.ranges) {
    const auto it = graph_->symbols.find(name);
    if (it == graph_->symbols.end()) continue;
    SymbolRange& r = it->second;
    // torch writes 2 where it knows no bound, and runs with 1 all the same.
    r.min = range.min.value_or(0) > 2 ? std::min(*range.min, kMaxSize) : 0;
    r.max = std::max(r.min, range.max && *range.max < kMaxSize ? *range.max : std::numeric_limits<int64_t>::max());
    r.opt = std::clamp<int64_t>(1, r.min, r.max);
  }
  return {};
}

Status Importer::import_nodes(const schema::Graph& graph) {
  if (++depth_ > kMaxDepth) return unsupported("graphs are nested more than " + std::to_string(kMaxDepth) + " deep");
  const schema::Graph* outer = std::exchange(current_graph_, &graph);
  for (const auto& node : graph.nodes) {
    if (graph_->node_count() > kMaxNodes) return unsupported("more than " + std::to_string(kMaxNodes) + " nodes");
    LATHE_CHECK(import_node(node));
  }
  current_graph_ = outer;
  --depth_;
  return {};
}

Status Importer::import_node(const schema::Node& node) {
  auto ok = translate(node);
  if (ok) return {};
  Error e = std::move(ok).error();
  const std::string where = "node " + quote(label(node)) + ": " + node.target;
  // Shape rules blame the caller; here that is the model, unless it was given other shapes than its own.
  if (e.code == Code::kUsage && options_.shapes.empty()) e.code = Code::kDamaged;
  if (e.code != Code::kUnsupported) return fail(e.code, where + ": " + e.message);
  if (!e.message.empty()) unsupported_.push_back(where + ": " + one_line(e.message));
  for (const std::string& name : output_names(node))
    if (!name.empty()) names_.insert_or_assign(prefix_ + name, Binding{.kind = Binding::Kind::kFailed});
  return {};
}

Result<Values> Importer::call(const schema::Node& node, const Row& row, ValueId replacement) {
  builder_.begin_node(label(node));
  Node n(node, row, builder_, *this);
  if (replacement != kNoId) n.replace(row.base, replacement);
  return row.handler(n);
}

Status Importer::translate(const schema::Node& node) {
  LATHE_TRY(const bool sizes, symbolic(node));
  if (sizes) return {};
  const auto op = operator_of(node.target);
  // Gradients and precision are of no concern here.
  if (op == "higher_order.wrap_with_set_grad_enabled" || op == "higher_order.wrap_with_autocast")
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (const auto& a = node.inputs[i].arg; a.kind == Kind::kGraph) {
        if (op.ends_with("autocast") && node.inputs.size() > 3 && node.inputs[2].arg.kind == Kind::kBool &&
            node.inputs[2].arg.i != 0)
          return unsupported("autocast is not supported");
        return inline_graph(node, *a.graph, i + 1);
      }
  LATHE_TRY(const bool held, control(node, op));
  if (held) return {};
  const Row* row = find_row(op);
  bool in_place = false;
  if (!row && op.ends_with("_")) {  // relu_ is relu, stored over its input
    row = find_row(op.substr(0, op.size() - 1));
    in_place = row != nullptr;
  }
  if (!row) return unsupported("the operator is not known");
  LATHE_TRY(const Values values, call(node, *row, kNoId));
  if (!in_place) return bind_outputs(node, *row, values);
  const auto target = std::ranges::find(node.inputs, std::string("self"), &schema::NamedArgument::name);
  if (target == node.inputs.end() || target->arg.kind != Kind::kTensor || values.size() != 1)
    return unsupported("lists of tensors are not changed in place");
  const std::string name = resolved(target->arg.text);
  Binding& b = names_.at(name);
  LATHE_TRY(const ValueId before, current(b));
  if (values[0] != before) {
    ValueId v = builder_.cast(values[0], graph_->value(before).dtype);
    if (builder_.ok() && builder_.shape(v) != builder_.shape(before)) v = builder_.expand(v, builder_.shape(before));
    if (!builder_.ok()) return std::unexpected(builder_.status().error());
    LATHE_CHECK(mutate(name, v));
  }
  for (const std::string& out : output_names(node)) LATHE_CHECK(bind(out, {.alias = name}));
  return {};
}

bool Importer::contiguous(const std::string& name) const {
  const auto it = current_graph_->tensors.find(name);
  if (it == current_graph_->tensors.end() || !it->second.sizes || !it->second.fixed) return true;
  const auto dims = static_dims(*it->second.sizes);
  if (!dims || it->second.strides.size() != dims->size()) return true;
  int64_t dense = 1;
  for (size_t d = dims->size(); d-- > 0;) {
    if ((*dims)[d] != 1 && it->second.strides[d] != dense) return false;
    if (__builtin_mul_overflow(dense, (*dims)[d], &dense)) return false;
  }
  return true;
}

Status Importer::bind_outputs(const schema::Node& node, const Row& row, const Values& values) {
  const auto names = output_names(node);
  const auto base = std::ranges::find(node.inputs, row.base, &schema::NamedArgument::name);
  Alias alias = base == node.inputs.end() || base->arg.kind != Kind::kTensor ? Alias::kNo : row.alias;
  if (alias == Alias::kMaybe) alias = contiguous(base->arg.text) ? Alias::kView : Alias::kNo;
  const std::string parent = alias == Alias::kNo ? std::string() : resolved(base->arg.text);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    Binding b{.value = i < values.size() ? values[i] : kNoId};
    if (!parent.empty()) {
      LATHE_TRY(const ValueId from, current(names_.at(parent)));
      if (b.value == from) {
        b = {.alias = parent};
      } else if (alias == Alias::kView) {
        b.view = &node;
        b.output = i;
        b.parent = parent;
        b.depth = names_.at(parent).depth + 1;
        if (b.depth > kMaxViews) return unsupported("views of views of more than " + std::to_string(kMaxViews));
        LATHE_TRY(b.seen, version_of(parent));
      }
    }
    if (b.value != kNoId) name_value(b.value, prefix_ + names[i]);
    LATHE_CHECK(bind(names[i], std::move(b)));
  }
  return {};
}

Status Importer::add_outputs() {
  std::unordered_set<std::string> taken;
  std::vector<const schema::OutputSpec*> user;
  for (const auto& spec : program_.outputs) {
    if (spec.user || spec.what == "token") {
      if (spec.user) user.push_back(&spec);
      continue;
    }
    return unsupported("the model changes " + quote(spec.target) + " when it runs (" + spec.what +
                       "); models that keep state or change their inputs are not supported. Export it in eval mode, "
                       "and return what changes instead");
  }
  for (const auto& [name, b] : names_)
    if (!b.outside.empty() && b.version > 0)
      return unsupported("the model changes " + quote(b.outside) +
                         " in place; models that keep state or change their inputs are not supported. Change a copy "
                         "of it instead");
  for (size_t i = 0; i < user.size(); ++i) {
    const auto& arg = user[i]->arg;
    if (arg.kind == Kind::kNone) continue;
    const bool keyed = program_.output_keys.size() == user.size() && !program_.output_keys[i].empty();
    std::string name = keyed ? program_.output_keys[i] : arg.text;
    const std::string what = "output " + quote(name.empty() ? std::to_string(i) : name);
    ValueId v = kNoId;
    if (arg.kind == Kind::kTensor) {
      auto found = tensor(arg.text);
      if (!found) return fail(found.error().code, what + ": " + found.error().message);
      v = *found;
    } else if (arg.kind == Kind::kSymInt || arg.kind == Kind::kInt) {
      LATHE_TRY(const Dim d, arg.kind == Kind::kInt ? Result<Dim>(Dim(arg.i)) : size(arg.text));
      builder_.begin_node(what);
      v = builder_.reshape(builder_.dim_value(d), {});
      if (!builder_.ok()) return std::unexpected(builder_.status().error());
      if (name.empty()) name = "output_" + std::to_string(i);
    } else {
      return unsupported(what + " is no tensor");
    }
    for (int64_t k = 1; !taken.insert(name).second; ++k)
      name = (keyed ? program_.output_keys[i] : arg.text) + "_" + std::to_string(k);
    graph_->outputs.push_back(v);
    graph_->output_names.push_back(std::move(name));
  }
  if (graph_->outputs.empty()) return damaged("the model has no outputs");
  return {};
}

Result<std::unique_ptr<Graph>> Importer::run() {
  current_graph_ = &program_.graph;
  const auto fill = [&]() -> Status {
    LATHE_CHECK(add_inputs());
    LATHE_CHECK(import_nodes(program_.graph));
    if (!unsupported_.empty()) {
      std::string text = std::to_string(unsupported_.size()) + (unsupported_.size() == 1 ? " node is" : " nodes are") +
                         " not supported:";
      for (const auto& line : unsupported_) text += "\n  " + line;
      return unsupported(text);
    }
    return add_outputs();
  };
  if (auto ok = fill(); !ok) return fail(ok.error().code, path_ + ": " + ok.error().message);
  graph_->remove_dead();
  drop_unused_constants();
  return std::move(graph_);
}

// Weights that were transposed or folded leave their first form behind.
void Importer::drop_unused_constants() {
  for (size_t i = 0; i < graph_->value_count(); ++i) {
    Value& v = graph_->value(static_cast<ValueId>(i));
    if (v.constant && v.users.empty() && !graph_->is_output(static_cast<ValueId>(i))) v.constant.reset();
  }
}

Result<std::unique_ptr<Graph>> import_pt2(importer::FileBytes file, const std::string& path,
                                          const ImportOptions& options) {
  const auto located = [&](const Error& e) { return fail(e.code, path + ": " + e.message); };
  auto opened = importer::Archive::open(std::move(file), options.max_tensor_bytes);
  if (!opened) return located(opened.error());
  const auto archive = std::make_shared<const importer::Archive>(*std::move(opened));
  std::string json_name, model = "model";
  std::vector<std::string> models;
  for (const std::string& name : archive->names()) {
    if (name == "serialized_exported_program.json") json_name = name;
    if (name.starts_with("models/") && name.ends_with(".json")) models.push_back(name);
  }
  if (json_name.empty()) {
    if (models.empty())
      return fail(Code::kDamaged,
                  path +
                      ": a zip archive, but not of torch.export.save: it holds no models/model.json (a file of "
                      "torch.save holds weights alone: export the model with torch.export)");
    if (models.size() > 1)
      return fail(Code::kUnsupported, path + ": the archive holds " + std::to_string(models.size()) + " models");
    json_name = models[0];
    model = json_name.substr(7, json_name.size() - 12);
  }
  auto json = archive->read(json_name);
  if (!json) return located(json.error());
  if (json->bytes.size() > kMaxJson) return fail(Code::kUnsupported, path + ": a graph of more than 256 MiB");
  auto program = schema::parse_program(json->bytes);
  if (!program) return located(program.error());
  auto weights = Weights::open(archive, model, options.max_tensor_bytes);
  if (!weights) return located(weights.error());
  return Importer(*program, *std::move(weights), options, path).run();
}

Result<std::unique_ptr<Graph>> import_pt2(const std::string& path, const ImportOptions& options) {
  LATHE_TRY(auto file, importer::map_file(path));
  return import_pt2(std::move(file), path, options);
}

}  // namespace lathe::pt2
