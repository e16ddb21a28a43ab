// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/importer.h"

#include <algorithm>
#include <cctype>

namespace lathe::tflite {

namespace {

using flatbuffers::uoffset_t;

constexpr uint32_t kVersion = 3;
constexpr int kMaxDepth = 64;  // subgraphs that call subgraphs
constexpr size_t kMaxNodes = 1'000'000;

std::string quote(std::string_view s) { return "\"" + std::string(s) + "\""; }

// Symbols are words in the text form of shapes.
std::string symbol_for(std::string_view name) {
  std::string s(name);
  for (char& c : s)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '/') c = '_';
  if (s.empty() || std::isdigit(static_cast<unsigned char>(s[0]))) s = "_" + s;
  return s;
}

std::string one_line(std::string s) {
  std::ranges::replace(s, '\n', ' ');
  return s;
}

// Operators that know how complex tensors are kept: see fourier.cpp.
bool takes_complex(int32_t code) { return code == 22 || (code >= 133 && code <= 135); }

bool in_range(int64_t i, size_t count) { return i >= 0 && static_cast<uint64_t>(i) < count; }

}  // namespace

Importer::Importer(const Model& model, const ImportOptions& options, std::string path)
    : model_(model),
      options_(options),
      path_(std::move(path)),
      model_graph_(std::make_unique<Graph>()),
      graph_(model_graph_.get()),
      builder_(std::make_unique<importer::Builder>(*graph_, options.max_tensor_bytes)),
      states_(*graph_) {}

const Quantization* Importer::quantization(const fb::Tensor& t) {
  auto found = quantizations_.find(&t);
  if (found == quantizations_.end()) {
    auto q = quantization_of(t);  // errors have been reported by check()
    found = quantizations_.emplace(&t, q ? *std::move(q) : std::nullopt).first;
  }
  const auto type = dtype_of(t);
  return found->second && type && dtype_info(*type).is_int ? &*found->second : nullptr;
}

Result<const fb::SubGraph*> Importer::subgraph(int64_t index) const {
  if (!in_range(index, length(model_.root().subgraphs())))
    return fail(Code::kDamaged, "subgraph " + std::to_string(index) + " does not exist");
  return model_.root().subgraphs()->Get(static_cast<uoffset_t>(index));
}

// Every number that names something names something that is there.
Status Importer::check(const fb::SubGraph& g, int64_t index) {
  if (!checked_.insert(index).second) return {};
  const size_t tensors = length(g.tensors());
  const std::string where = "subgraph " + std::to_string(index) + ": ";
  const auto all_there = [&](const flatbuffers::Vector<int32_t>* v, bool optional) {
    for (uoffset_t i = 0; i < length(v); ++i)
      if (!in_range(v->Get(i), tensors) && !(optional && v->Get(i) == -1)) return false;
    return true;
  };
  for (uoffset_t i = 0; i < tensors; ++i) {
    const fb::Tensor& t = *g.tensors()->Get(i);
    if (length(model_.root().buffers()) <= t.buffer())
      return fail(Code::kDamaged, where + "tensor " + quote(name_of(t)) + " has buffer " + std::to_string(t.buffer()) +
                                      ", which does not exist");
    auto q = quantization_of(t);
    if (!q && q.error().code != Code::kUnsupported) return std::unexpected(q.error());
  }
  if (!all_there(g.inputs(), false) || !all_there(g.outputs(), false))
    return fail(Code::kDamaged, where + "an input or output is a tensor that does not exist");
  for (uoffset_t i = 0; i < length(g.operators()); ++i) {
    const fb::Operator& op = *g.operators()->Get(i);
    LATHE_CHECK(model_.code(op));
    if (!all_there(op.inputs(), true) || !all_there(op.outputs(), false) || length(op.outputs()) > tensors ||
        length(op.inputs()) > tensors + 64)
      return fail(Code::kDamaged,
                  where + "operator " + std::to_string(i) + " uses or makes a tensor that does not exist");
  }
  return {};
}

// The subgraph to import, and the names that a signature gives its inputs and outputs.
Result<int64_t> Importer::entry(std::optional<Names>& names) const {
  if (options_.signature.empty()) return 0;
  std::string known;
  for (uoffset_t i = 0; i < length(model_.root().signature_defs()); ++i) {
    const fb::SignatureDef& s = *model_.root().signature_defs()->Get(i);
    const std::string key = s.signature_key() ? s.signature_key()->str() : std::string();
    known += (known.empty() ? "" : ", ") + key;
    if (key != options_.signature) continue;
    LATHE_TRY(const fb::SubGraph* g, subgraph(s.subgraph_index()));
    const auto rename = [&](const flatbuffers::Vector<int32_t>* tensors,
                            const auto* maps) -> Result<std::vector<std::string>> {
      std::vector<std::string> r;
      for (uoffset_t k = 0; k < length(tensors); ++k) {
        std::string name;
        for (uoffset_t m = 0; m < length(maps); ++m)
          if (maps->Get(m)->tensor_index() == static_cast<uint32_t>(tensors->Get(k)) && maps->Get(m)->name())
            name = maps->Get(m)->name()->str();
        if (name.empty())
          return fail(Code::kDamaged, "signature " + quote(key) + " does not name every input and output");
        r.push_back(std::move(name));
      }
      return r;
    };
    names.emplace();
    LATHE_TRY(names->inputs, rename(g->inputs(), s.inputs()));
    LATHE_TRY(names->outputs, rename(g->outputs(), s.outputs()));
    return static_cast<int64_t>(s.subgraph_index());
  }
  return fail(Code::kUsage, known.empty()
                                ? "the model has no signatures"
                                : "there is no signature " + quote(options_.signature) + "; the model's are: " + known);
}

Result<ValueId> Importer::lookup(Scope& scope, int32_t tensor) {
  if (tensor == -1) return kNoId;
  Binding& found = scope.tensors[static_cast<size_t>(tensor)];
  if (found.defined) return found.value;
  const fb::Tensor& t = *scope.graph->tensors()->Get(static_cast<uoffset_t>(tensor));
  if (t.is_variable()) {
    LATHE_TRY(const size_t state, state_of(t));
    return states_.value(state);
  }
  if (!model_.has_data(t)) {
    // Tensors without elements need no buffer.
    const auto dims = dims_of(t);
    if (!dims || std::ranges::find(*dims, 0) == dims->end())
      return fail(Code::kDamaged, "tensor " + quote(name_of(t)) + " is used before it is computed");
  }
  LATHE_TRY(Tensor c, model_.constant(t));
  found.value = graph_->add_constant({}, std::move(c));
  found.defined = true;
  name_value(found.value, name_of(t));
  return found.value;
}

void Importer::name_value(ValueId v, const std::string& name) {
  if (v == kNoId || name.empty() || name[0] == '%') return;
  Value& value = graph_->value(v);
  if (value.name[0] != '%') return;
  if (used_names_.insert(name).second) value.name = name;
}

Status Importer::add_input(Scope& scope, int32_t tensor, const std::string& name) {
  const fb::Tensor& t = *scope.graph->tensors()->Get(static_cast<uoffset_t>(tensor));
  const std::string what = "input " + quote(name);
  Binding& binding = scope.tensors[static_cast<size_t>(tensor)];
  if (binding.defined) return fail(Code::kDamaged, what + " is listed twice");
  LATHE_TRY(const DType type, dtype_of(t));
  binding.defined = true;
  if (const auto fixed = options_.values.find(name); fixed != options_.values.end()) {
    if (fixed->second.dtype() != type)
      return fail(Code::kUsage, what + ": the given value has another type than the model's input");
    used_names_.insert(name);
    binding.value = graph_->add_constant(name, fixed->second);
    return {};
  }
  LATHE_TRY(const auto dims, dims_of(t));
  Shape shape = to_shape(dims);
  // The signature has -1 where the size is open; the shape then holds a size that fits.
  const auto signature = tflite::integers(t.shape_signature());
  if (signature.size() == dims.size())
    for (size_t d = 0; d < dims.size(); ++d)
      if (signature[d] < 0) shape[d] = graph_->fresh_symbol(symbol_for(name) + "_dim" + std::to_string(d));
  if (const auto given = options_.shapes.find(name); given != options_.shapes.end()) {
    if (given->second.size() != shape.size())
      return fail(Code::kUsage,
                  what + ": shape " + shape_str(given->second) + " does not fit the model's " + shape_str(shape));
    shape = given->second;  // as in LiteRT, inputs may be given other sizes than the file's
  }
  const auto known = static_dims(shape);
  if (known && !importer::checked_bytes(type, *known, options_.max_tensor_bytes))
    return fail(Code::kDamaged, what + ": shape " + shape_str(shape) + " gives an impossible size");
  used_names_.insert(name);
  binding.value = graph_->add_input(name, type, std::move(shape));
  return {};
}

Status Importer::fill() {
  const fb::Model& root = model_.root();
  if (root.version() != kVersion)
    return fail(Code::kUnsupported, "schema version " + std::to_string(root.version()) + " is not known; 3 is");
  if (length(root.subgraphs()) == 0) return fail(Code::kDamaged, "the model has no subgraph");
  std::optional<Names> signature;
  LATHE_TRY(const int64_t index, entry(signature));
  LATHE_TRY(const fb::SubGraph* g, subgraph(index));
  LATHE_CHECK(check(*g, index));
  graph_->name = g->name() ? g->name()->str() : std::string();
  Scope scope{g, std::vector<Binding>(length(g->tensors()))};

  // Tensors may lack a name, and several may have the same.
  std::unordered_set<std::string> taken;
  const auto names_of = [&](const flatbuffers::Vector<int32_t>* tensors, const char* stem,
                            const std::vector<std::string>* given) {
    std::vector<std::string> names;
    for (uoffset_t i = 0; i < length(tensors); ++i) {
      std::string name = given ? (*given)[i] : name_of(*g->tensors()->Get(static_cast<uoffset_t>(tensors->Get(i))));
      if (name.empty()) name = stem + std::to_string(i);
      for (int n = 1; !taken.insert(name).second; ++n)
        name = names.empty() ? name + "_1" : name + "_" + std::to_string(n);
      names.push_back(std::move(name));
    }
    return names;
  };
  const auto inputs = names_of(g->inputs(), "input", signature ? &signature->inputs : nullptr);
  taken.clear();
  const auto outputs = names_of(g->outputs(), "output", signature ? &signature->outputs : nullptr);
  const auto check_given = [&](const auto& given) -> Status {
    for (const auto& [name, value] : given)
      if (std::ranges::find(inputs, name) == inputs.end()) {
        std::string known;
        for (const auto& i : inputs) known += (known.empty() ? "" : ", ") + i;
        return fail(Code::kUsage, "there is no input " + quote(name) + "; the model's are: " + known);
      }
    return {};
  };
  LATHE_CHECK(check_given(options_.shapes));
  LATHE_CHECK(check_given(options_.values));

  for (uoffset_t i = 0; i < length(g->inputs()); ++i) LATHE_CHECK(add_input(scope, g->inputs()->Get(i), inputs[i]));
  LATHE_CHECK(import_operators(scope));
  if (!unsupported_.empty()) {
    std::string text = std::to_string(unsupported_.size()) + (unsupported_.size() == 1 ? " node is" : " nodes are") +
                       " not supported:";
    for (const auto& line : unsupported_) text += "\n  " + line;
    return fail(Code::kUnsupported, text);
  }
  if (length(g->outputs()) == 0) return fail(Code::kDamaged, "the model has no outputs");
  for (uoffset_t i = 0; i < length(g->outputs()); ++i) {
    LATHE_TRY(const ValueId v, lookup(scope, g->outputs()->Get(i)));
    const fb::Tensor& t = *g->tensors()->Get(static_cast<uoffset_t>(g->outputs()->Get(i)));
    if (t.type() == fb::TensorType::COMPLEX64 || t.type() == fb::TensorType::RESOURCE)
      return fail(Code::kUnsupported, "output " + quote(outputs[i]) + " is of type " +
                                          fb::EnumNameTensorType(t.type()) + ", which is not supported");
    graph_->outputs.push_back(v);
    graph_->output_names.push_back(outputs[i]);
  }
  return states_.finish();
}

Result<std::unique_ptr<Graph>> Importer::run() {
  if (auto ok = fill(); !ok) return fail(ok.error().code, path_ + ": " + ok.error().message);
  graph_->remove_dead();
  drop_unused_constants(*graph_);
  return std::move(model_graph_);
}

// Weights that were converted or folded leave their first form behind.
void Importer::drop_unused_constants(Graph& g) {
  for (size_t i = 0; i < g.value_count(); ++i) {
    Value& v = g.value(static_cast<ValueId>(i));
    if (v.constant && v.users.empty() && !g.is_output(static_cast<ValueId>(i))) v.constant.reset();
  }
}

Result<Values> Importer::inline_subgraph(int64_t index, Values inputs) {
  LATHE_TRY(const fb::SubGraph* g, subgraph(index));
  LATHE_CHECK(check(*g, index));
  if (length(g->inputs()) != inputs.size())
    return fail(Code::kDamaged, "subgraph " + std::to_string(index) + " takes " + std::to_string(length(g->inputs())) +
                                    " inputs, not " + std::to_string(inputs.size()));
  if (++depth_ > kMaxDepth)
    return fail(Code::kUnsupported, "subgraphs call each other more than " + std::to_string(kMaxDepth) + " deep");
  Scope scope{g, std::vector<Binding>(length(g->tensors()))};
  for (size_t i = 0; i < inputs.size(); ++i)
    scope.tensors[static_cast<size_t>(g->inputs()->Get(static_cast<uoffset_t>(i)))] = {inputs[i], false, true};
  const size_t before = unsupported_.size();
  const Status ok = import_operators(scope);
  --depth_;
  if (!ok) return std::unexpected(ok.error());
  if (unsupported_.size() != before) return fail(Code::kUnsupported, {});
  Values outputs;
  for (uoffset_t i = 0; i < length(g->outputs()); ++i) {
    LATHE_TRY(outputs.emplace_back(), lookup(scope, g->outputs()->Get(i)));
    if (outputs.back() == kNoId) return fail(Code::kUnsupported, {});  // depends on what is listed already
  }
  return outputs;
}

Result<std::vector<bool>> Importer::handed_on(int64_t index) const {
  LATHE_TRY(const fb::SubGraph* g, subgraph(index));
  std::vector<bool> same;
  for (uoffset_t i = 0; i < length(g->outputs()); ++i)
    same.push_back(i < length(g->inputs()) && g->inputs()->Get(i) == g->outputs()->Get(i));
  return same;
}

Result<Importer::Nested> Importer::nest(
    const std::vector<ValueInfo>& types, const Values& given,
    const std::function<Result<Values>(const Values& own, const Values& given)>& fill) {
  std::unique_ptr<Graph> inner = graph_->nested();
  auto builder = std::make_unique<importer::Builder>(*inner, options_.max_tensor_bytes);
  builder->begin_node(builder_->node_name());
  Nested nested;
  Values own, formal;
  for (const ValueInfo& t : types) own.push_back(inner->add_input({}, t.dtype, t.shape));
  for (const ValueId v : given) {
    const Value& x = graph_->value(v);
    if (x.constant) {
      formal.push_back(inner->add_constant({}, *x.constant));
      continue;
    }
    formal.push_back(inner->add_input({}, x.dtype, x.shape));
    inner->value(formal.back()).content = x.content;
    nested.captured.push_back(v);
  }
  for (const auto& [name, range] : graph_->symbols) inner->symbols.try_emplace(name, range);
  // Graphs do not share names: a second try finds them free.
  const auto names = used_names_;
  Graph* const outer = std::exchange(graph_, inner.get());
  std::swap(builder_, builder);
  auto outputs = fill(own, formal);
  if (outputs && !builder_->ok()) outputs = std::unexpected(builder_->status().error());
  std::swap(builder_, builder);
  graph_ = outer;
  used_names_ = names;
  if (!outputs) return std::unexpected(outputs.error());
  inner->outputs = *outputs;
  for (const ValueId v : inner->outputs) inner->output_names.push_back(inner->value(v).name);
  inner->remove_dead();
  drop_unused_constants(*inner);
  nested.graph = std::move(inner);
  return nested;
}

Status Importer::import_operators(Scope& scope) {
  for (uoffset_t i = 0; i < length(scope.graph->operators()); ++i) {
    if (graph_->node_count() > kMaxNodes)
      return fail(Code::kUnsupported, "more than " + std::to_string(kMaxNodes) + " nodes");
    LATHE_CHECK(import_operator(scope, *scope.graph->operators()->Get(i), i));
  }
  return {};
}

Status Importer::import_operator(Scope& scope, const fb::Operator& op, size_t number) {
  const auto tensor = [&](int32_t i) -> const fb::Tensor& {
    return *scope.graph->tensors()->Get(static_cast<uoffset_t>(i));
  };
  LATHE_TRY(const int32_t code, model_.code(op));
  const std::string kind = op_name(code) + (code == 32 ? " " + quote(model_.custom_name(op)) : std::string());
  const std::string name = length(op.outputs()) > 0 ? name_of(tensor(op.outputs()->Get(0))) : std::string();
  const std::string label = "node " + (name.empty() ? "number " + std::to_string(number) : quote(name));
  const auto list = [&](const std::string& why) {
    std::string line = label + ": " + kind + (why.empty() ? "" : ": " + one_line(why));
    if (std::ranges::find(unsupported_, line) == unsupported_.end()) unsupported_.push_back(std::move(line));
  };
  const auto blame = [&](Error e) -> Status {
    // Shape rules blame the caller; here that is the model, unless it was given other shapes than its own.
    if (e.code == Code::kUsage && options_.shapes.empty()) e.code = Code::kDamaged;
    return fail(e.code, label + " (" + kind + "): " + e.message);
  };
  Values inputs, outputs;
  bool failed = false;
  for (uoffset_t i = 0; i < length(op.inputs()); ++i) {
    auto found = lookup(scope, op.inputs()->Get(i));
    if (!found) {
      if (found.error().code != Code::kUnsupported) return blame(found.error());
      list(found.error().message);
      failed = true;
      break;
    }
    inputs.push_back(*found);
    failed = failed || (op.inputs()->Get(i) >= 0 && scope.tensors[static_cast<size_t>(op.inputs()->Get(i))].failed);
  }
  if (!failed) {
    builder_->begin_node(name);
    auto r = translate(op, *scope.graph, std::move(inputs));
    if (r && r->size() != length(op.outputs()))
      r = fail(Code::kDamaged,
               "has " + std::to_string(length(op.outputs())) + " outputs, not " + std::to_string(r->size()));
    for (uoffset_t i = 0; r && i < r->size(); ++i) {
      const auto type = dtype_of(tensor(op.outputs()->Get(i)));
      const ValueId v = (*r)[i];
      if (v != kNoId && type && *type != DType::kC64 && *type != builder_->dtype(v))
        r = fail(Code::kDamaged, "computes " + std::string(dtype_name(builder_->dtype(v))) +
                                     ", but the file says its result is " + std::string(dtype_name(*type)));
    }
    if (r) {
      outputs = *std::move(r);
    } else if (r.error().code == Code::kUnsupported) {
      if (!r.error().message.empty()) list(r.error().message);
      failed = true;
    } else {
      return blame(r.error());
    }
  }
  for (uoffset_t i = 0; i < length(op.outputs()); ++i) {
    Binding& b = scope.tensors[static_cast<size_t>(op.outputs()->Get(i))];
    if (b.defined) return fail(Code::kDamaged, label + " (" + kind + "): its result is computed twice");
    b = {failed ? kNoId : outputs[i], failed || outputs[i] == kNoId, true};
    name_value(b.value, name_of(tensor(op.outputs()->Get(i))));
  }
  return {};
}

Result<Values> Importer::translate(const fb::Operator& op, const fb::SubGraph& g, Values inputs) {
  LATHE_TRY(const int32_t code, model_.code(op));
  const Row* row = code == 32 ? find_custom_row(model_.custom_name(op)) : find_row(code);
  if (!row) return fail(Code::kUnsupported, "there is no such operator in lathe");
  Node node(op, g, *row, std::move(inputs), *builder_, *this);
  const auto quantized = [&](const fb::Tensor& t) {
    const Quantization* q = quantization(t);
    return q && dtype_bits(*dtype_of(t)) <= 16;
  };
  for (size_t i = 0; i < length(op.inputs()); ++i)
    if (node.has(i) && node.in_tensor(i).type() == fb::TensorType::COMPLEX64 && !takes_complex(code))
      return fail(Code::kUnsupported, "it is not supported on complex numbers");
  bool integers = false;
  for (size_t i = 0; i < length(op.inputs()); ++i) integers = integers || (node.has(i) && quantized(node.in_tensor(i)));
  for (size_t i = 0; i < node.output_count(); ++i) integers = integers || quantized(node.out_tensor(i));
  if (!integers) return row->handler(node);
  switch (row->quantized) {
    case Quantized::kNo:
      return fail(Code::kUnsupported, "it is not supported on quantized integers");
    case Quantized::kMoves:
      return row->handler(node);
    case Quantized::kOwn:
      return row->integer(node);
  }
  return fail(Code::kUnsupported, {});
}

Result<std::unique_ptr<Graph>> import_tflite(const std::string& path, const ImportOptions& options) {
  LATHE_TRY(const Model model, Model::open(path, options.max_tensor_bytes));
  return Importer(model, options, path).run();
}

}  // namespace lathe::tflite
