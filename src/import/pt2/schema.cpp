// SPDX-License-Identifier: Apache-2.0
#include "import/pt2/schema.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "import/json.h"

namespace lathe::pt2::schema {

namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 16;  // graphs inside arguments of graphs

std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

Result<Json> parse(std::string_view text, std::string_view what) {
  LATHE_TRY(Json j, importer::parse_json(text, what));
  if (!j.is_object()) return damaged(std::string(what) + ": not a JSON object");
  return j;
}

const Json& at(const Json& j, const char* key) {
  static const Json none;
  if (!j.is_object()) return none;
  const auto it = j.find(key);
  return it == j.end() ? none : *it;
}

std::string text(const Json& j) { return j.is_string() ? j.get<std::string>() : std::string(); }

Result<int64_t> integer(const Json& j, const char* what) {
  if (j.is_boolean()) return int64_t{j.get<bool>()};
  if (!j.is_number_integer()) return damaged(std::string(what) + " is not an integer");
  if (j.is_number_unsigned() && j.get<uint64_t>() > uint64_t{INT64_MAX})
    return damaged(std::string(what) + " is out of range");
  return j.get<int64_t>();
}

Result<double> real(const Json& j) {
  if (j.is_number()) return j.get<double>();
  const std::string s = text(j);
  if (s == "Infinity") return std::numeric_limits<double>::infinity();
  if (s == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (s == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return damaged("an argument is not a number");
}

// Expressions over symbols as SymPy's srepr writes them, e.g. Add(Mul(Integer(2), Symbol('s0', positive=True)),
// Integer(1)), or a plain name or number.
class Expression {
 public:
  explicit Expression(std::string_view s) : s_(s) {}
  std::optional<Dim> parse() {
    auto d = term(0);
    blank();
    return at_ == s_.size() ? d : std::nullopt;
  }

 private:
  void blank() {
    while (at_ < s_.size() && s_[at_] == ' ') ++at_;
  }
  bool eat(char c) {
    blank();
    if (at_ >= s_.size() || s_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    blank();
    const size_t from = at_;
    while (at_ < s_.size() && (std::isalnum(static_cast<unsigned char>(s_[at_])) || s_[at_] == '_')) ++at_;
    return s_.substr(from, at_ - from);
  }
  std::optional<int64_t> number() {
    const bool negative = eat('-');
    const auto w = word();
    int64_t v = 0;
    if (w.empty() || w.size() > 18) return std::nullopt;
    for (const char c : w) {
      if (c < '0' || c > '9') return std::nullopt;
      v = v * 10 + (c - '0');
    }
    return negative ? -v : v;
  }
  std::optional<Dim> term(int depth) {
    if (depth > 64) return std::nullopt;
    blank();
    if (at_ < s_.size() && (std::isdigit(static_cast<unsigned char>(s_[at_])) || s_[at_] == '-')) return number();
    const auto head = word();
    if (head.empty()) return std::nullopt;
    if (!eat('(')) return Dim::symbol(std::string(head));
    if (head == "Integer") {
      const auto v = number();
      return v && eat(')') ? std::optional<Dim>(*v) : std::nullopt;
    }
    if (head == "Symbol") {
      if (!eat('\'')) return std::nullopt;
      const auto name = word();
      const auto close = s_.find(')', at_);
      if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) || close == std::string_view::npos)
        return std::nullopt;
      at_ = close + 1;
      return Dim::symbol(std::string(name));
    }
    std::vector<Dim> operands;
    do {
      auto d = term(depth + 1);
      if (!d) return std::nullopt;
      operands.push_back(*std::move(d));
    } while (eat(','));
    if (!eat(')')) return std::nullopt;
    if (head == "Add" || head == "Mul" || head == "Max" || head == "Min") {
      Dim r = operands[0];
      for (size_t i = 1; i < operands.size(); ++i)
        r = head == "Add"   ? r + operands[i]
            : head == "Mul" ? r * operands[i]
            : head == "Max" ? max(r, operands[i])
                            : min(r, operands[i]);
      return r;
    }
    const bool division = head == "FloorDiv" || head == "CleanDiv";
    if (operands.size() == 2 && operands[1].is_const() && operands[1].value() > 0) {
      if (division) return floor_div(operands[0], operands[1]);
      if (head == "Mod" || head == "PythonMod") return mod(operands[0], operands[1]);
      if (head == "Pow" && operands[1].value() <= 8) {
        Dim r = 1;
        for (int64_t i = 0; i < operands[1].value(); ++i) r = r * operands[0];
        return r;
      }
    }
    return std::nullopt;
  }

  std::string_view s_;
  size_t at_ = 0;
};

Result<std::optional<Dim>> dim(const Json& j) {
  if (const Json& v = at(j, "as_int"); !v.is_null()) {
    LATHE_TRY(const int64_t d, integer(v, "a size"));
    return std::optional<Dim>(d);
  }
  const Json& e = at(j, "as_expr");
  if (!e.is_object()) return damaged("a size is neither a number nor an expression");
  return Expression(text(at(e, "expr_str"))).parse();
}

Result<TensorMeta> tensor_meta(const Json& j) {
  TensorMeta m;
  LATHE_TRY(const int64_t dtype, integer(at(j, "dtype"), "a tensor's dtype"));
  m.dtype = dtype_of(dtype);
  const Json& layout = at(j, "layout");
  m.strided = layout.is_null() || layout == 7;
  const Json &sizes = at(j, "sizes"), &strides = at(j, "strides");
  if (!sizes.is_array() || sizes.size() > 64) return damaged("a tensor has no sizes");
  m.sizes.emplace();
  for (const Json& s : sizes) {
    LATHE_TRY(const auto d, dim(s));
    if (!d) {
      m.sizes.reset();
      break;
    }
    if (d->is_const() && d->value() < 0) return damaged("a tensor has a negative size");
    m.sizes->push_back(*d);
  }
  if (strides.is_array())
    for (const Json& s : strides) {
      LATHE_TRY(const auto d, dim(s));
      m.fixed = m.fixed && d && d->is_const();
      m.strides.push_back(d && d->is_const() ? d->value() : 0);
    }
  if (const Json& offset = at(j, "storage_offset"); !offset.is_null()) {
    LATHE_TRY(const auto d, dim(offset));
    m.fixed = m.fixed && d && d->is_const();
    m.offset = d && d->is_const() ? d->value() : 0;
  }
  return m;
}

Result<Graph> graph(const Json& j, int depth);

struct Field {
  std::string_view name;
  Argument::Kind kind;
  bool list = false;
};
using Kind = Argument::Kind;
constexpr Field kFields[] = {
    {"as_none", Kind::kNone},
    {"as_tensor", Kind::kTensor},
    {"as_tensors", Kind::kTensor, true},
    {"as_int", Kind::kInt},
    {"as_ints", Kind::kInt, true},
    {"as_float", Kind::kFloat},
    {"as_floats", Kind::kFloat, true},
    {"as_string", Kind::kString},
    {"as_strings", Kind::kString, true},
    {"as_sym_int", Kind::kSymInt},
    {"as_sym_ints", Kind::kSymInt, true},
    {"as_scalar_type", Kind::kDType},
    {"as_bool", Kind::kBool},
    {"as_bools", Kind::kBool, true},
    {"as_sym_bool", Kind::kSymBool},
    {"as_graph", Kind::kGraph},
    {"as_sym_bools", Kind::kSymBool, true},
    {"as_sym_float", Kind::kSymFloat},
    {"as_sym_floats", Kind::kSymFloat, true},
};

Result<Argument> argument(const Json& j, int depth);

Result<Argument> value(Kind kind, const Json& j, int depth) {
  Argument a{.kind = kind};
  switch (kind) {
    case Kind::kTensor:
      a.text = text(at(j, "name"));
      if (a.text.empty()) return damaged("a tensor argument has no name");
      break;
    case Kind::kSymInt:
    case Kind::kSymFloat:
    case Kind::kSymBool:  // a name, or a plain value
      if (const Json& name = at(j, "as_name"); name.is_string()) {
        a.text = text(name);
        break;
      }
      return argument(j, depth);
    case Kind::kInt:
    case Kind::kBool:
    case Kind::kDType: {
      LATHE_TRY(a.i, integer(j, "an argument"));
      break;
    }
    case Kind::kFloat: {
      LATHE_TRY(a.f, real(j));
      break;
    }
    case Kind::kString:
      if (!j.is_string()) return damaged("an argument is not a string");
      a.text = text(j);
      break;
    case Kind::kGraph: {
      if (depth > kMaxDepth) return damaged("graphs are nested too deeply");
      a.text = text(at(j, "name"));
      LATHE_TRY(Graph g, graph(at(j, "graph"), depth + 1));
      a.graph = std::make_shared<const Graph>(std::move(g));
      break;
    }
    default:
      break;
  }
  return a;
}

Result<Argument> argument(const Json& j, int depth) {
  if (!j.is_object() || j.empty()) return damaged("an argument is not an object");
  const auto it = j.begin();
  const std::string& name = it.key();
  const Json& v = it.value();
  if (name == "as_optional_tensor") return argument(v, depth);
  if (name == "as_optional_tensors") {
    if (!v.is_array()) return damaged("as_optional_tensors is not a list");
    Argument list{.kind = Kind::kList};
    for (const Json& item : v) {
      // A tensor that is there was written as {"as_tensor": …}, in early versions as {"name": …}.
      const bool bare = item.is_object() && item.contains("name");
      LATHE_TRY(list.items.emplace_back(), bare ? value(Kind::kTensor, item, depth) : argument(item, depth));
    }
    return list;
  }
  const auto* field = std::ranges::find(kFields, std::string_view(name), &Field::name);
  if (field == std::end(kFields)) return Argument{.kind = Kind::kOther, .text = name};
  if (!field->list) return value(field->kind, v, depth);
  if (!v.is_array()) return damaged(name + " is not a list");
  Argument list{.kind = Kind::kList};
  for (const Json& item : v) {
    LATHE_TRY(list.items.emplace_back(), value(field->kind, item, depth));
  }
  return list;
}

Result<std::vector<Argument>> arguments(const Json& j, int depth) {
  std::vector<Argument> r;
  if (!j.is_array()) return damaged("a list of arguments is missing");
  for (const Json& item : j) {
    LATHE_TRY(r.emplace_back(), argument(item, depth));
  }
  return r;
}

// "L__self___layer1,layer1,torch.nn…;…": the path of the innermost module.
std::string module_path(const std::string& stack) {
  const auto last = stack.rfind(';');
  const auto entry = last == std::string::npos ? stack : stack.substr(last + 1);
  const auto from = entry.find(',');
  if (from == std::string::npos) return {};
  const auto to = entry.find(',', from + 1);
  std::string path = entry.substr(from + 1, to == std::string::npos ? std::string::npos : to - from - 1);
  // Modules called twice have "@1" and so on behind.
  if (const auto mark = path.find('@'); mark != std::string::npos) path.resize(mark);
  return path;
}

Result<Node> node(const Json& j, int depth) {
  Node n;
  n.target = text(at(j, "target"));
  n.name = text(at(j, "name"));
  if (n.target.empty()) return damaged("a node has no target");
  const Json& inputs = at(j, "inputs");
  if (!inputs.is_array()) return damaged("a node has no inputs");
  for (const Json& i : inputs) {
    NamedArgument a{.name = text(at(i, "name")), .arg = {}};
    auto v = argument(at(i, "arg"), depth);
    if (!v) return fail(v.error().code, "node " + n.target + ": " + v.error().message);
    a.arg = *std::move(v);
    n.inputs.push_back(std::move(a));
  }
  LATHE_TRY(n.outputs, arguments(at(j, "outputs"), depth));
  if (n.name.empty() && !n.outputs.empty())
    n.name = n.outputs[0].kind == Kind::kList && !n.outputs[0].items.empty() ? n.outputs[0].items[0].text
                                                                             : n.outputs[0].text;
  n.module = module_path(text(at(at(j, "metadata"), "nn_module_stack")));
  return n;
}

Result<Graph> graph(const Json& j, int depth) {
  Graph g;
  LATHE_TRY(g.inputs, arguments(at(j, "inputs"), depth));
  LATHE_TRY(g.outputs, arguments(at(j, "outputs"), depth));
  const Json &nodes = at(j, "nodes"), &tensors = at(j, "tensor_values");
  if (!nodes.is_array()) return damaged("the graph has no nodes");
  for (const Json& n : nodes) {
    LATHE_TRY(g.nodes.emplace_back(), node(n, depth));
  }
  if (tensors.is_object())
    for (const auto& [name, meta] : tensors.items()) {
      LATHE_TRY(g.tensors[name], tensor_meta(meta));
    }
  return g;
}

Result<InputSpec> input_spec(const Json& j) {
  if (!j.is_object() || j.empty()) return damaged("an input of the signature is not an object");
  const auto it = j.begin();
  InputSpec s{.kind = InputSpec::Kind::kOther, .what = it.key(), .arg = {}, .target = {}};
  const Json& v = it.value();
  if (s.what == "user_input") {
    s.kind = InputSpec::Kind::kUser;
    LATHE_TRY(s.arg, argument(at(v, "arg"), 0));
    return s;
  }
  struct Stored {
    std::string_view field;
    const char* target;
    InputSpec::Kind kind;
  };
  for (const Stored& stored : {Stored{"parameter", "parameter_name", InputSpec::Kind::kState},
                               Stored{"buffer", "buffer_name", InputSpec::Kind::kState},
                               Stored{"tensor_constant", "tensor_constant_name", InputSpec::Kind::kConstant}})
    if (s.what == stored.field) {
      s.kind = stored.kind;
      LATHE_TRY(s.arg, value(Kind::kTensor, at(v, "arg"), 0));
      s.target = text(at(v, stored.target));
    }
  if (s.what == "constant_input") {  // a number or string that the model was exported with
    s.arg.text = text(at(v, "name"));
    s.arg.kind = Kind::kOther;
  }
  return s;
}

Result<OutputSpec> output_spec(const Json& j) {
  if (!j.is_object() || j.empty()) return damaged("an output of the signature is not an object");
  const auto it = j.begin();
  OutputSpec s{.user = it.key() == "user_output", .what = it.key(), .arg = {}, .target = {}};
  const Json& arg = at(it.value(), "arg");
  if (s.user || s.what == "loss_output") {
    LATHE_TRY(s.arg, s.user ? argument(arg, 0) : value(Kind::kTensor, arg, 0));
    return s;
  }
  s.arg = {.kind = Kind::kTensor, .text = text(at(arg, "name"))};
  for (const char* key : {"buffer_name", "user_input_name", "parameter_name"})
    if (const Json& target = at(it.value(), key); target.is_string()) s.target = text(target);
  return s;
}

// The leaves of a pytree in order, each with the keys on the way to it. Tuples and lists give numbers.
bool leaves(const Json& spec, const std::string& path, bool named, int depth, std::vector<std::string>& names) {
  if (depth > 32 || !spec.is_object()) return false;
  const Json& children = at(spec, "children_spec");
  if (!children.is_array()) return false;
  if (at(spec, "type").is_null()) {
    names.push_back(named ? path : std::string());
    return true;
  }
  const std::string type = text(at(spec, "type"));
  const bool dictionary = type.ends_with("dict") || type.ends_with("OrderedDict");
  const auto keys = importer::parse_json(text(at(spec, "context")), "keys");
  for (size_t i = 0; i < children.size(); ++i) {
    std::string key = std::to_string(i);
    if (dictionary) {
      if (!keys || !keys->is_array() || keys->size() != children.size()) return false;
      key = (*keys)[i].is_string() ? text((*keys)[i]) : (*keys)[i].dump();
    }
    if (!leaves(children[i], path.empty() ? key : path + "." + key, named || dictionary, depth + 1, names))
      return false;
  }
  return true;
}

// Where the model returns a dictionary, its keys are the outputs' names.
std::vector<std::string> output_keys(const Json& module) {
  const Json& calls = at(module, "module_call_graph");
  if (!calls.is_array() || calls.empty()) return {};
  const std::string spec = text(at(at(calls[0], "signature"), "out_spec"));
  if (spec.empty()) return {};
  const auto parsed = importer::parse_json(spec, "out_spec");
  std::vector<std::string> names;
  if (!parsed || !parsed->is_array() || parsed->size() != 2 || !leaves((*parsed)[1], "", false, 0, names)) return {};
  return names;
}

}  // namespace

DType dtype_of(int64_t scalar_type) {
  struct Row {
    int64_t number;
    DType dtype;
  };
  static constexpr Row kRows[] = {
      {1, DType::kU8},          {2, DType::kI8},        {3, DType::kI16},     {4, DType::kI32},
      {5, DType::kI64},         {6, DType::kF16},       {7, DType::kF32},     {8, DType::kF64},
      {10, DType::kC64},        {11, DType::kC128},     {12, DType::kBool},   {13, DType::kBF16},
      {28, DType::kU16},        {29, DType::kF8E4M3FN}, {30, DType::kF8E5M2}, {31, DType::kF8E4M3FNUZ},
      {32, DType::kF8E5M2FNUZ}, {34, DType::kU32},      {35, DType::kU64},
  };
  const auto* row = std::ranges::find(kRows, scalar_type, &Row::number);
  return row == std::end(kRows) ? DType::kUndefined : row->dtype;
}

Result<Program> parse_program(std::string_view json) {
  LATHE_TRY(const Json j, parse(json, "the model's JSON"));
  Program p;
  p.torch_version = text(at(j, "torch_version"));
  LATHE_TRY(const int64_t major, integer(at(at(j, "schema_version"), "major"), "schema_version"));
  if (major < 7 || major > 8)
    return fail(Code::kUnsupported, "version " + std::to_string(major) + " of PyTorch's export schema is not known; " +
                                        "lathe knows that of torch 2.6 to 2.15");
  const Json& module = at(j, "graph_module");
  LATHE_TRY(p.graph, graph(at(module, "graph"), 0));
  const Json& signature = at(module, "signature");
  const Json &inputs = at(signature, "input_specs"), &outputs = at(signature, "output_specs");
  if (!inputs.is_array() || !outputs.is_array()) return damaged("the model has no signature");
  for (const Json& s : inputs) {
    LATHE_TRY(p.inputs.emplace_back(), input_spec(s));
  }
  for (const Json& s : outputs) {
    LATHE_TRY(p.outputs.emplace_back(), output_spec(s));
  }
  p.output_keys = output_keys(module);
  if (const Json& ranges = at(j, "range_constraints"); ranges.is_object())
    for (const auto& [name, r] : ranges.items())
      for (const auto& [key, to] : {std::pair{"min_val", &Range::min}, std::pair{"max_val", &Range::max}})
        if (const Json& v = at(r, key); v.is_number_integer()) {
          LATHE_TRY(p.ranges[name].*to, integer(v, "a range"));
        }
  return p;
}

Result<std::map<std::string, Payload>> parse_payloads(std::string_view json) {
  LATHE_TRY(const Json j, parse(json, "the list of weights"));
  const Json& config = at(j, "config");
  if (!config.is_object()) return damaged("the list of weights has no entries");
  std::map<std::string, Payload> r;
  for (const auto& [name, v] : config.items()) {
    Payload p{.path = text(at(v, "path_name")), .pickled = at(v, "use_pickle") == true, .meta = {}};
    if (const Json& meta = at(v, "tensor_meta"); meta.is_object()) {
      LATHE_TRY(p.meta, tensor_meta(meta));
    }
    r.emplace(name, std::move(p));
  }
  return r;
}

}  // namespace lathe::pt2::schema
