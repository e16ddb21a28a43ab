// SPDX-License-Identifier: Apache-2.0
#include "ops/_subgraph.h"

namespace lathe::ops {

std::string type_text(DType dtype, const Shape& shape) { return std::string(dtype_name(dtype)) + shape_str(shape); }

Status Around::bind(const Graph& graph, ValueId inner, const ValueInfo& given, const std::set<size_t>& varying) {
  const Value& v = graph.value(inner);
  const auto wrong = [&] {
    return fail(Code::kUsage, "\"" + v.name + "\" of its graph is " + type_text(v.dtype, v.shape) + " and is given " +
                                  type_text(given.dtype, given.shape));
  };
  if (v.dtype != given.dtype || v.shape.size() != given.shape.size()) return wrong();
  for (size_t d = 0; d < v.shape.size(); ++d) {
    if (varying.contains(d)) continue;
    if (v.shape[d].is_const() && given.shape[d].is_const() && !(v.shape[d] == given.shape[d])) return wrong();
    if (const std::string symbol = v.shape[d].symbol_name(); !symbol.empty())
      bound_.try_emplace(symbol, given.shape[d]);
    else
      v.shape[d].collect_symbols(visible_);
  }
  if (v.content)
    for (const Dim& d : *v.content) d.collect_symbols(visible_);
  return {};
}

std::optional<Dim> Around::outside(const Dim& d) const {
  if (d.is_const()) return d;
  std::set<std::string> names;
  d.collect_symbols(names);
  for (const auto& n : names)
    if (!bound_.contains(n) && !visible_.contains(n)) return std::nullopt;
  return d.substitute(bound_);
}

bool all_pure(const Graph& graph) {
  for (const NodeId n : graph.order())
    if (!graph.node(n).op->pure()) return false;
  return true;
}

}  // namespace lathe::ops
