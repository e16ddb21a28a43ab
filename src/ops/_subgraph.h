// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "ir/evaluate.h"
#include "ir/graph.h"

namespace lathe::ops {

/// What the shapes of a graph that an operator holds mean around it. Symbols that are whole dimensions of its inputs
/// stand for the dimensions given to them; symbols that its inputs' shapes or contents mention otherwise are those of
/// the graph around; all others are set while it runs and mean nothing outside.
class Around {
 public:
  /// Input `inner` of the graph is `given`; dimensions in `varying` are not bound (they change between iterations).
  Status bind(const Graph& graph, ValueId inner, const ValueInfo& given, const std::set<size_t>& varying = {});
  /// `d` in the terms of the graph around; nothing if it is not known there.
  [[nodiscard]] std::optional<Dim> outside(const Dim& d) const;

 private:
  std::map<std::string, Dim> bound_;
  std::set<std::string> visible_;
};

/// Whether all operators of the graph are pure.
bool all_pure(const Graph& graph);
/// "f32[2,n]"
std::string type_text(DType dtype, const Shape& shape);

}  // namespace lathe::ops
