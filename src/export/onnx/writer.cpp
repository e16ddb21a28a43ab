// SPDX-License-Identifier: Apache-2.0
#include "export/onnx/writer.h"

#include <algorithm>
#include <protozero/pbf_writer.hpp>

namespace lathe::onnx {

namespace {

using protozero::pbf_writer;

constexpr int64_t kOpset = 21, kIrVersion = 10;
constexpr uint64_t kAlign = 4096;
constexpr size_t kSmallTensor = 1024;  // stays in the model though the others go elsewhere

enum AttributeType : int { kFloat = 1, kInt = 2, kString = 3, kFloats = 6, kInts = 7, kStrings = 8 };

template <class F>
std::string attribute(std::string_view name, AttributeType type, F&& value) {
  std::string bytes;
  pbf_writer w(bytes);
  w.add_string(1, name.data(), name.size());
  value(w);
  w.add_enum(20, type);
  return bytes;
}

}  // namespace

Attributes& Attributes::i(std::string_view name, int64_t v) {
  all_.push_back(attribute(name, kInt, [&](pbf_writer& w) { w.add_int64(3, v); }));
  return *this;
}
Attributes& Attributes::f(std::string_view name, double v) {
  all_.push_back(attribute(name, kFloat, [&](pbf_writer& w) { w.add_float(2, static_cast<float>(v)); }));
  return *this;
}
Attributes& Attributes::s(std::string_view name, std::string_view v) {
  all_.push_back(attribute(name, kString, [&](pbf_writer& w) { w.add_bytes(4, v.data(), v.size()); }));
  return *this;
}
Attributes& Attributes::ints(std::string_view name, const std::vector<int64_t>& v) {
  all_.push_back(attribute(name, kInts, [&](pbf_writer& w) { w.add_packed_int64(8, v.begin(), v.end()); }));
  return *this;
}
Attributes& Attributes::floats(std::string_view name, const std::vector<double>& v) {
  const std::vector<float> narrow(v.begin(), v.end());
  all_.push_back(attribute(name, kFloats, [&](pbf_writer& w) { w.add_packed_float(7, narrow.begin(), narrow.end()); }));
  return *this;
}
Attributes& Attributes::strings(std::string_view name, const std::vector<std::string>& v) {
  all_.push_back(attribute(name, kStrings, [&](pbf_writer& w) {
    for (const auto& s : v) w.add_bytes(9, s);
  }));
  return *this;
}

Attributes Attributes::of(const Op& op, std::string_view skip) {
  struct Visitor final : AttrVisitor {
    Attributes out;
    std::string_view skip;
    [[nodiscard]] bool skipped(std::string_view n) const {
      for (size_t at = 0; at < skip.size();) {
        const size_t end = std::min(skip.find(' ', at), skip.size());
        if (skip.substr(at, end - at) == n) return true;
        at = end + 1;
      }
      return false;
    }
    void attr(const char* n, int64_t& v) override {
      if (!skipped(n)) out.i(n, v);
    }
    void attr(const char* n, double& v) override {
      if (!skipped(n)) out.f(n, v);
    }
    void attr(const char* n, bool& v) override {
      if (!skipped(n)) out.i(n, v ? 1 : 0);
    }
    void attr(const char* n, std::string& v) override {
      if (!skipped(n)) out.s(n, v);
    }
    void attr(const char* n, std::vector<int64_t>& v) override {
      if (!skipped(n)) out.ints(n, v);
    }
    void attr(const char* n, std::vector<double>& v) override {
      if (!skipped(n)) out.floats(n, v);
    }
    void attr(const char* n, std::vector<std::string>& v) override {
      if (!skipped(n) && !v.empty()) out.strings(n, v);
    }
    void attr(const char* n, DType& v) override {
      if (!skipped(n)) out.i(n, static_cast<int64_t>(v));
    }
    void attr(const char*, Program&) override {}
    void attr(const char*, std::shared_ptr<Graph>&) override {}
  } visitor;
  visitor.skip = skip;
  const auto copy = op.clone();
  copy->visit(visitor);
  return std::move(visitor.out);
}

std::string Writer::fresh(const std::string& stem) {
  std::string s = stem;
  for (int i = 1; !used_.insert(s).second; ++i) s = stem + "_" + std::to_string(i);
  return s;
}

std::string Writer::output_name(ValueId v) {
  const auto known = names_.find(v);
  if (known != names_.end()) return known->second;
  for (size_t i = 0; i < g.outputs.size(); ++i)
    if (g.outputs[i] == v) return names_[v] = g.output_names[i];
  const std::string& own = g.value(v).name;
  return names_[v] = fresh(own.empty() || own[0] == '%' ? "value" + std::to_string(v) : own);
}

std::string Writer::name(ValueId v) {
  if (v == kNoId) return {};
  if (const auto known = names_.find(v); known != names_.end()) return known->second;
  const Value& value = g.value(v);
  if (value.constant) {
    std::string n = initializer(*value.constant, value.name[0] == '%' ? std::string() : value.name);
    return names_[v] = std::move(n);
  }
  if (const Node* d = quantized_constant(g, v)) {
    const std::string x = name(d->inputs[0]);
    return write_quantization(*this, *d, x, *quantization_axis(g, *d), output_name(v));
  }
  if (const auto f = first_.find(v); f != first_.end()) {
    const std::string from = f->second;
    return add("Transpose", {from}, Attributes().ints("perm", {0, 2, 3, 1}), output_name(v));
  }
  return output_name(v);
}

std::string Writer::first(ValueId v) {
  if (const auto known = first_.find(v); known != first_.end()) return known->second;
  const std::string from = name(v);
  return first_[v] = add("Transpose", {from}, Attributes().ints("perm", {0, 3, 1, 2}));
}

void Writer::add_all(std::string_view op, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& results, const Attributes& attributes) {
  std::string bytes;
  pbf_writer w(bytes);
  size_t count = inputs.size();
  while (count > 0 && inputs[count - 1].empty()) --count;
  for (size_t i = 0; i < count; ++i) w.add_string(1, inputs[i]);
  for (const auto& r : results) w.add_string(2, r);
  if (!node_name_.empty()) {  // names of nodes are unique in ONNX
    const int part = parts_[node_name_]++;
    w.add_string(3, part == 0 ? node_name_ : node_name_ + "#" + std::to_string(part));
  }
  w.add_string(4, op.data(), op.size());
  for (const auto& a : attributes.all()) w.add_message(5, a);
  pbf_writer(graph_).add_message(1, bytes);
  ++model_.nodes;
}

std::string Writer::add(std::string_view op, const std::vector<std::string>& inputs, const Attributes& attributes,
                        std::string result) {
  if (result.empty()) result = fresh(node_name_.empty() ? "value" : node_name_ + "/" + std::string(op));
  add_all(op, inputs, {result}, attributes);
  return result;
}

std::string Writer::initializer(const Tensor& t, const std::string& wanted) {
  const std::string name = fresh(wanted.empty() ? "constant" : wanted);
  std::string bytes;
  pbf_writer w(bytes);
  w.add_packed_int64(1, t.dims().begin(), t.dims().end());
  w.add_int32(2, static_cast<int32_t>(t.dtype()));
  w.add_string(8, name);
  if (t.dtype() == DType::kString) {
    for (const auto& s : t.strings()) w.add_bytes(6, s);
  } else if (external_ && t.bytes().size() > kSmallTensor) {
    const uint64_t at = (model_.external_bytes + kAlign - 1) / kAlign * kAlign;
    const auto entry = [&](const std::string& key, const std::string& value) {
      std::string e;
      pbf_writer(e).add_string(1, key);
      pbf_writer(e).add_string(2, value);
      w.add_message(13, e);
    };
    entry("location", options_.external_name);
    entry("offset", std::to_string(at));
    entry("length", std::to_string(t.bytes().size()));
    w.add_enum(14, 1);
    model_.external.emplace_back(at, t);
    model_.external_bytes = at + t.bytes().size();
  } else {
    w.add_bytes(9, reinterpret_cast<const char*>(t.bytes().data()), t.bytes().size());
  }
  pbf_writer(graph_).add_message(5, bytes);
  return name;
}

std::string Writer::scalar(DType dtype, double v) {
  Tensor t = Tensor::zeros(dtype, {});
  t.set(0, v);
  return initializer(t);
}

std::string Writer::value_info(ValueId v, const std::string& name) const {
  const Value& value = g.value(v);
  std::string shape, tensor, type, info;
  for (const Dim& d : value.shape) {
    std::string dim;
    if (d.is_const())
      pbf_writer(dim).add_int64(1, d.value());
    else
      pbf_writer(dim).add_string(2, d.str());
    pbf_writer(shape).add_message(1, dim);
  }
  pbf_writer(tensor).add_int32(1, static_cast<int32_t>(value.dtype));
  pbf_writer(tensor).add_message(2, shape);
  pbf_writer(type).add_message(1, tensor);
  pbf_writer(info).add_string(1, name);
  pbf_writer(info).add_message(2, type);
  return info;
}

namespace {

// An operand of elementwise work on channels-first images, if it can be had: scalars and vectors of one value a channel
// need no transpose.
std::optional<std::string> first_operand(Writer& w, ValueId v) {
  const Value& value = w.g.value(v);
  if (value.shape.size() == 4 && !value.constant) return w.first(v);
  if (product(value.shape).equals(1) && value.shape.size() <= 4) return w.name(v);
  if (!value.constant) return std::nullopt;
  const auto& dims = value.constant->dims();
  for (size_t d = 0; d + 1 < dims.size(); ++d)
    if (dims[d] != 1) return std::nullopt;
  return w.initializer(value.constant->reshaped({dims.back(), 1, 1}));
}

}  // namespace

Status Writer::node(const Node& n) {
  if (quantized_constant(g, n.outputs[0])) return {};
  node_name_ = n.name;
  const auto own = static_cast<size_t>(n.epilogue.empty() ? static_cast<int>(n.inputs.size()) : n.anchor_inputs);
  Node bare = n;
  bare.inputs.resize(own);
  std::vector<DType> types;
  for (const ValueId v : bare.inputs) types.push_back(v == kNoId ? DType::kUndefined : g.value(v).dtype);
  const ValueId out = n.outputs[0];
  const bool windows = writes_first(*n.op);
  const auto elementwise = n.op->program(types);
  if (const auto axis = quantization_axis(g, n); axis && n.epilogue.empty() && g.value(out).shape.size() == 4 &&
                                                 has_first(n.inputs[0]) && !names_.contains(n.inputs[0])) {
    constexpr int64_t kMoved[] = {0, 2, 3, 1};
    set_first(out, write_quantization(*this, n, first(n.inputs[0]), *axis < 0 ? -1 : kMoved[*axis], {}));
    return {};
  }
  const NodeWriter writer = find_writer(*n.op);
  if (!writer && !elementwise) return fail(Code::kUnsupported, "ONNX opset 21 has no such operator");
  if (elementwise && g.value(out).shape.size() == 4 &&
      std::ranges::any_of(bare.inputs, [&](ValueId v) { return v != kNoId && has_first(v) && !names_.contains(v); })) {
    std::vector<std::string> operands;
    for (const ValueId v : n.inputs) {
      const auto o = v == kNoId ? std::nullopt : first_operand(*this, v);
      if (!o) break;
      operands.push_back(*o);
    }
    if (operands.size() == n.inputs.size()) {
      const std::vector<std::string> mine(operands.begin(), operands.begin() + static_cast<ptrdiff_t>(own));
      std::string result;
      if (writer) {  // same operator, other names
        result = add(n.op->name(), mine, Attributes::of(*n.op, "saturate"));
      } else {
        LATHE_TRY(result, program(*elementwise, mine));
      }
      if (!n.epilogue.empty()) {
        std::vector<std::string> inputs = {result};
        inputs.insert(inputs.end(), operands.begin() + static_cast<ptrdiff_t>(own), operands.end());
        LATHE_TRY(result, program(n.epilogue, inputs));
      }
      set_first(out, result);
      return {};
    }
  }
  std::vector<std::string> results;
  const bool ends = n.epilogue.empty();
  for (const ValueId v : n.outputs) {
    const bool before = (v == out && !ends) || windows;
    results.push_back(before ? fresh(node_name_.empty() ? "value" : node_name_ + "/result") : output_name(v));
  }
  if (writer) {
    LATHE_CHECK(writer(*this, bare, results));
  } else {
    std::vector<std::string> inputs;
    for (const ValueId v : bare.inputs) inputs.push_back(name(v));
    LATHE_TRY(results[0], program(*elementwise, inputs, results[0]));
  }
  if (windows && ends) {
    set_first(out, results[0]);
    return {};
  }
  if (ends) return {};
  std::vector<std::string> inputs = {results[0]};
  bool as_first = windows;
  for (size_t i = own; i < n.inputs.size() && as_first; ++i) {
    const auto o = first_operand(*this, n.inputs[i]);
    as_first = o.has_value();
    if (o) inputs.push_back(*o);
  }
  if (as_first) {
    LATHE_TRY(auto r, program(n.epilogue, inputs));
    set_first(out, std::move(r));
    return {};
  }
  inputs = {windows ? add("Transpose", {results[0]}, Attributes().ints("perm", {0, 2, 3, 1})) : results[0]};
  for (size_t i = own; i < n.inputs.size(); ++i) inputs.push_back(name(n.inputs[i]));
  LATHE_TRY(auto r, program(n.epilogue, inputs, output_name(out)));
  return {};
}

Result<Model> Writer::run() {
  for (size_t i = 0; i < g.value_count(); ++i)
    if (const Value& v = g.value(static_cast<ValueId>(i));
        v.constant && (!v.users.empty() || g.is_output(static_cast<ValueId>(i))))
      weight_bytes_ += v.constant->bytes().size();
  external_ = weight_bytes_ > options_.inline_bytes;
  for (const ValueId v : g.inputs) used_.insert(names_[v] = g.value(v).name);
  for (const auto& n : g.output_names) used_.insert(n);
  std::vector<std::string> unsupported;
  for (const NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (auto ok = node(n); !ok) {
      if (ok.error().code != Code::kUnsupported) return std::unexpected(ok.error());
      unsupported.push_back("node \"" + n.name + "\": " + std::string(n.op->name()) + ": " + ok.error().message);
    }
  }
  if (!unsupported.empty()) {
    std::string text = std::to_string(unsupported.size()) + " nodes cannot be written as ONNX:";
    for (const auto& line : unsupported) text += "\n  " + line;
    return fail(Code::kUnsupported, text);
  }
  node_name_.clear();
  std::string ends;
  std::unordered_set<std::string> written;
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    const std::string have = name(g.outputs[i]);
    if (have != g.output_names[i]) add("Identity", {have}, {}, g.output_names[i]);
    pbf_writer(ends).add_message(12, value_info(g.outputs[i], g.output_names[i]));
  }
  pbf_writer graph(graph_);
  graph.add_string(2, g.name.empty() ? "lathe" : g.name);
  for (const ValueId v : g.inputs) graph.add_message(11, value_info(v, g.value(v).name));
  graph_ += ends;
  std::string opset;
  pbf_writer(opset).add_string(1, "");
  pbf_writer(opset).add_int64(2, kOpset);
  pbf_writer model(model_.proto);
  model.add_int64(1, kIrVersion);
  model.add_string(2, "lathe");
  model.add_message(8, opset);
  model.add_message(7, graph_);
  return std::move(model_);
}

Result<Model> write(const Graph& graph, const WriteOptions& options) { return Writer(graph, options).run(); }

}  // namespace lathe::onnx
