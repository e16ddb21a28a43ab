// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"

namespace lathe::importer {

/// What a model remembers from one run to the next, while it is imported: an input of the graph that holds it, and the
/// value that takes its place. Add the model's own inputs to the graph before the first state.
class States {
 public:
  explicit States(Graph& graph) : graph_(graph) {}

  /// A new state, `name` in the user's model; `used` are the names that are taken. Returns its number.
  size_t add(std::string name, Tensor initial, std::unordered_set<std::string>& used);
  /// What it holds at this point of the run.
  [[nodiscard]] ValueId value(size_t state) const { return all_[state].value; }
  void set(size_t state, ValueId value) { all_[state].value = value; }
  [[nodiscard]] const std::string& name(size_t state) const { return all_[state].name; }

  /// With all of the model's own outputs in the graph: what states hold now is their next value. A state that nothing
  /// changes becomes a constant. An error if one changes its type or shape.
  Status finish();

 private:
  struct State {
    std::string name;
    ValueId input = kNoId, value = kNoId;
    Tensor initial;
  };
  Graph& graph_;
  std::vector<State> all_;
};

}  // namespace lathe::importer
