// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdio>

#include "ir/graph.h"
#include "ir/text.h"

namespace lathe {

namespace {

std::string number(double v) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, v).ptr};
}

// Shortest text that reads back the same: as f32 where the value is one.
std::string element(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::kString) return text::quoted(t.strings()[static_cast<size_t>(i)]);
  if (!dtype_info(t.dtype()).is_float) return std::to_string(t.i64_at(i));
  const double v = t.f64_at(i);
  if (t.dtype() == DType::kF64) return number(v);
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, static_cast<float>(v)).ptr};
}

// FNV-1a: tells constants apart in a dump, no more.
std::string hash_text(const Tensor& t) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const std::byte b : t.bytes()) h = (h ^ std::to_integer<uint64_t>(b)) * 0x100000001b3u;
  char buffer[20];
  std::snprintf(buffer, sizeof buffer, "#%016llx", static_cast<unsigned long long>(h));
  return buffer;
}

std::string constant_text(const Tensor& t) {
  if (t.count() > text::kMaxPrinted) return hash_text(t);
  std::string s = "[";
  for (int64_t i = 0; i < t.count(); ++i) s += (i ? ", " : "") + element(t, i);
  return s + "]";
}

std::string typed(const Value& v) {
  return text::name_text(v.name) + ": " + std::string(dtype_name(v.dtype)) + shape_str(v.shape);
}

std::string node_text(const Graph& graph, const Node& n) {
  std::string s;
  for (size_t i = 0; i < n.outputs.size(); ++i) s += (i ? ", " : "") + typed(graph.value(n.outputs[i]));
  s += " = " + std::string(n.op->name()) + "(";
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (i)
      s += static_cast<int>(i) == n.anchor_inputs ? "; " : ", ";
    else if (n.anchor_inputs == 0)
      s += "; ";
    s += n.inputs[i] == kNoId ? "_" : text::name_text(graph.value(n.inputs[i]).name);
  }
  s += ")";
  if (const std::string attrs = attrs_str(*n.op); !attrs.empty()) s += " {" + attrs + "}";
  if (!n.epilogue.empty()) s += " epilogue {" + n.epilogue.str() + "}";
  if (!n.name.empty()) s += " @ " + text::quoted(n.name);
  return s;
}

}  // namespace

std::string print(const Graph& graph) {
  std::string s = "graph " + text::quoted(graph.name) + "\n";
  std::set<std::string> used;
  for (size_t i = 0; i < graph.value_count(); ++i)
    for (const Dim& d : graph.value(static_cast<ValueId>(i)).shape) d.collect_symbols(used);
  for (const auto& [name, range] : graph.symbols)
    if (used.contains(name))
      s += "symbol " + text::name_text(name) + " = " + std::to_string(range.min) + " " + std::to_string(range.opt) +
           " " + std::to_string(range.max) + "\n";
  const size_t own = graph.inputs.size() - graph.states.size();
  for (size_t i = 0; i < own; ++i) s += "input " + typed(graph.value(graph.inputs[i])) + "\n";
  for (size_t i = 0; i < graph.states.size(); ++i)
    s += "state " + typed(graph.value(graph.inputs[own + i])) + " = " + constant_text(graph.states[i]) + "\n";
  for (size_t i = 0; i < graph.value_count(); ++i) {
    const Value& v = graph.value(static_cast<ValueId>(i));
    if (!v.constant || (v.users.empty() && !graph.is_output(static_cast<ValueId>(i)))) continue;
    s += "const " + typed(v) + " = " + constant_text(*v.constant) + "\n";
  }
  for (const NodeId n : graph.order()) s += node_text(graph, graph.node(n)) + "\n";
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    s += "output " + text::name_text(graph.value(graph.outputs[i]).name);
    if (i < graph.output_names.size()) s += " as " + text::quoted(graph.output_names[i]);
    s += "\n";
  }
  return s;
}

}  // namespace lathe
