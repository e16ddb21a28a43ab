// SPDX-License-Identifier: Apache-2.0
#include "import/states.h"

#include <algorithm>

namespace lathe::importer {

size_t States::add(std::string name, Tensor initial, std::unordered_set<std::string>& used) {
  if (name.empty() || name[0] == '%') name = "state";
  std::string unique = name;
  for (int n = 1; !used.insert(unique).second; ++n) unique = name + "_" + std::to_string(n);
  const ValueId v = graph_.add_input(unique, initial.dtype(), to_shape(initial.dims()));
  all_.push_back({std::move(unique), v, v, std::move(initial)});
  return all_.size() - 1;
}

Status States::finish() {
  for (State& s : all_) {
    if (s.value != s.input) continue;
    const ValueId same = graph_.add_constant({}, s.initial);
    graph_.replace_uses(s.input, same);
    std::erase(graph_.inputs, s.input);
    for (State& other : all_)
      if (other.value == s.input) other.value = same;
    s.input = kNoId;
  }
  for (State& s : all_) {
    if (s.input == kNoId) continue;
    const Value& next = graph_.value(s.value);
    const Shape shape = to_shape(s.initial.dims());
    if (next.dtype != s.initial.dtype() || next.shape != shape)
      return fail(Code::kUnsupported, "state \"" + s.name + "\" is " + std::string(dtype_name(s.initial.dtype())) +
                                          shape_str(shape) + " and becomes " + std::string(dtype_name(next.dtype)) +
                                          shape_str(next.shape) +
                                          ": only states that keep their type and shape are supported");
    if (s.initial.dtype() == DType::kString)
      return fail(Code::kUnsupported, "state \"" + s.name + "\" holds strings, which is not supported");
    graph_.outputs.push_back(s.value);
    std::string name = s.name + "/next";
    while (std::ranges::find(graph_.output_names, name) != graph_.output_names.end()) name += "_";
    graph_.output_names.push_back(std::move(name));
    graph_.states.push_back(std::move(s.initial));
  }
  all_.clear();
  return {};
}

}  // namespace lathe::importer
