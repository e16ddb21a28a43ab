// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "ir/op.h"

namespace lathe {

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNoId = -1;

struct Value {
  std::string name;  ///< in the user's model; unique in the graph; made-up names start with '%'
  DType dtype = DType::kUndefined;
  Shape shape;
  std::optional<Tensor> constant;
  std::optional<std::vector<Dim>> content;  ///< see ValueInfo
  NodeId producer = kNoId;                  ///< kNoId: graph input or constant
  std::vector<NodeId> users;                ///< one entry per use
};

struct Node {
  std::shared_ptr<const Op> op;  ///< null: removed
  std::vector<ValueId> inputs;   ///< kNoId: absent optional input
  std::vector<ValueId> outputs;
  std::string name;  ///< the user's node; fused nodes join theirs with " + "
  /// Elementwise work done on output 0 before it is stored: input 0 of the program is the operator's own result, the
  /// others are `inputs[anchor_inputs …]`, broadcast to the output. Empty: none. The output's dtype is the program's.
  Program epilogue;
  int anchor_inputs = 0;  ///< inputs that belong to the operator itself

  [[nodiscard]] bool alive() const { return op != nullptr; }
  template <class T>
  [[nodiscard]] const T* as() const {
    return dynamic_cast<const T*>(op.get());
  }
};

struct SymbolRange {
  int64_t min = 0, opt = 1, max = INT64_MAX;
};

/// A model in canonical operators: static single assignment, acyclic. Edits go through the methods, which keep users
/// and producers consistent. Ids are stable; removed nodes stay as empty slots.
class Graph {
 public:
  /// An empty graph for an operator of this one to hold: knows its symbols, and neither makes up a name for a symbol
  /// that the other has.
  [[nodiscard]] std::unique_ptr<Graph> nested() const;
  ValueId add_input(std::string name, DType dtype, Shape shape);
  ValueId add_constant(std::string name, Tensor t);
  /// Adds a node, infers its outputs (names: `output_names`, or made up where empty) and returns its id. The error
  /// names the node and operator.
  Result<NodeId> add_node(std::shared_ptr<const Op> op, std::vector<ValueId> inputs,
                          std::vector<std::string> output_names, std::string name);
  /// As add_node with one unnamed output; returns that value. `like` lends its node name.
  Result<ValueId> add(std::shared_ptr<const Op> op, std::vector<ValueId> inputs, const std::string& name);

  void set_input(NodeId node, size_t slot, ValueId value);
  void append_input(NodeId node, ValueId value);
  void set_inputs(NodeId node, std::vector<ValueId> values);
  /// Every use of `from`, the graph's outputs included, becomes a use of `to`. Where `from` is an output or has a
  /// name of the user's model and `to` has not, `to` takes the name over.
  void replace_uses(ValueId from, ValueId to);
  /// Detaches and empties a node; its outputs must have no users.
  void remove_node(NodeId node);
  /// Removes pure nodes nobody uses; returns how many.
  int remove_dead();
  /// Moves output slot 0 of `node` to `value` (which loses its old producer): fusing a consumer into its anchor.
  void take_output(NodeId node, ValueId value);
  /// Adds what `inner` computes, its inputs being the values `args`; returns its outputs.
  Result<std::vector<ValueId>> inline_graph(const Graph& inner, std::span<const ValueId> args,
                                            const std::string& node_name);
  /// Puts what symbols stand for in their place, in the graphs that nodes hold too.
  void substitute(const std::map<std::string, Dim>& sizes);
  /// Runs the node's shape rule again after its operator or inputs changed.
  Status reinfer(NodeId node);

  [[nodiscard]] const Value& value(ValueId v) const { return values_[static_cast<size_t>(v)]; }
  [[nodiscard]] Value& value(ValueId v) { return values_[static_cast<size_t>(v)]; }
  [[nodiscard]] const Node& node(NodeId n) const { return nodes_[static_cast<size_t>(n)]; }
  [[nodiscard]] Node& node(NodeId n) { return nodes_[static_cast<size_t>(n)]; }
  [[nodiscard]] size_t value_count() const { return values_.size(); }
  [[nodiscard]] size_t node_count() const { return nodes_.size(); }
  [[nodiscard]] ValueInfo info(ValueId v) const;
  [[nodiscard]] std::vector<ValueInfo> infos(std::span<const ValueId> ids) const;
  [[nodiscard]] bool is_output(ValueId v) const;
  /// Live nodes, producers before users; among ready nodes the one added first comes first (deterministic).
  [[nodiscard]] std::vector<NodeId> order() const;
  /// A name starting with '%' that no value has.
  std::string fresh_name();
  /// A symbol that neither this graph nor those it holds or is held by have.
  Dim fresh_symbol(std::string_view stem);
  /// Symbols made up from now on have numbers from `n` on.
  void reserve_symbols(int64_t n) { *next_symbol_ = std::max(*next_symbol_, n); }

  std::vector<ValueId> inputs, outputs;
  std::vector<std::string> output_names;  ///< the model's names of the outputs, whatever values are called inside
  /// What the model remembers from one run to the next: the last inputs hold it, and the last outputs, one for each,
  /// take its place after a run. These are the values before the first. Never in a graph that a node holds.
  std::vector<Tensor> states;
  std::map<std::string, SymbolRange> symbols;
  std::string name;

 private:
  ValueId add_value(std::string name);
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  int64_t next_name_ = 0;
  std::shared_ptr<int64_t> next_symbol_ = std::make_shared<int64_t>(0);  ///< shared with nested graphs
};

/// The text form: what `--text` dumps, rule tests and bug reports use.
std::string print(const Graph& graph);
/// Parses what print() writes (constants larger than 64 elements are printed as a hash and parsed as zeros).
Result<std::unique_ptr<Graph>> parse_graph(std::string_view text);
/// Checks the invariants: links both ways, acyclic, inferred types and shapes equal the stored ones.
Status verify(const Graph& graph);

}  // namespace lathe
