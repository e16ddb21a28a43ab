// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "import/builder.h"
#include "import/onnx/node.h"
#include "import/onnx/proto.h"
#include "import/onnx/tensor.h"
#include "import/operators.h"

namespace lathe::onnx {

/// Imports the ONNX model at `path`.
Result<std::unique_ptr<Graph>> import_onnx(const std::string& path, const ImportOptions& options,
                                           const CustomOperators& operators = {});

/// Translates one model into one graph. Names are looked up through nested scopes, as ONNX's subgraphs see the values
/// around them.
class Importer {
 public:
  Importer(const proto::Model& model, TensorReader reader, const ImportOptions& options,
           const CustomOperators& operators, std::string path);
  Result<std::unique_ptr<Graph>> run();

  /// Imports the nodes of a subgraph in place (the branch of an If that is known to be taken) on these inputs; returns
  /// its outputs.
  Result<Values> inline_graph(const proto::Graph& graph, const Values& inputs = {});
  /// A type for an input of a nested graph.
  struct Type {
    DType dtype = DType::kUndefined;
    Shape shape;
  };
  /// A graph for a node to hold: its inputs are those given, then one for each value of `captured`.
  struct Nested {
    std::shared_ptr<Graph> graph;
    Values captured;
  };
  /// Makes a graph for a node to hold: `fill` adds its nodes with builder() and returns its outputs; values around it
  /// come in through here(). May be tried with other types if the result does not suit.
  Result<Nested> nest(const std::vector<Type>& inputs, const std::function<Result<Values>(const Values&)>& fill);
  /// A subgraph as a graph for a node to hold.
  Result<Nested> import_nested(const proto::Graph& graph, const std::vector<Type>& inputs);

  /// A value that is no tensor: the values that a sequence or an optional holds. It is resolved at import and never
  /// reaches the graph; the id that stands for it is below kNoId (docs/adr/0006).
  struct Aggregate {
    enum class Kind : uint8_t {
      kSequence,  ///< elements: its tensors
      kStacked,   ///< a sequence of a length that only the run tells; elements: one tensor, whose slices it holds
      kGrowing,   ///< in the body of a loop, the sequence so far; elements: what this iteration adds at its end
      kOptional,  ///< elements: none, or what it holds
    };
    Kind kind = Kind::kSequence;
    Values elements;
  };
  ValueId aggregate(Aggregate::Kind kind, Values elements);
  /// nullptr for a tensor or an absent value. The pointer is good until the next aggregate is made.
  [[nodiscard]] const Aggregate* aggregate_of(ValueId v) const;
  /// The tensors of `values` in order, aggregates taken apart; `form` tells how to put them together again.
  Values flatten(const Values& values, std::string& form) const;
  Values assemble(const Values& tensors, std::string_view form);

  /// A value of the graph around the one that is being filled, as one of the latter.
  ValueId here(ValueId around) { return capture(around, levels_.size() - 2); }
  /// Adds to the graph that is being filled.
  [[nodiscard]] importer::Builder& builder() { return *levels_.back().builder; }
  Result<Tensor> tensor(const proto::Tensor& t) { return reader_.read(t); }

 private:
  /// A name in scope: a value, an initializer not used yet, or the output of a node that could not be imported.
  struct Binding {
    ValueId value = kNoId;
    const proto::Tensor* initializer = nullptr;
    bool failed = false;
  };
  struct Scope {
    std::unordered_map<std::string_view, Binding> names;
    std::unordered_set<std::string_view> later;  ///< outputs of nodes not reached yet
    std::unordered_map<std::string_view, int64_t> opsets;
    size_t level = 0;  ///< of the graph that its values are in
  };
  /// A graph that is being filled: the model's, or within it one that a node will hold.
  struct Level {
    std::unique_ptr<Graph> graph;
    std::unique_ptr<importer::Builder> builder;
    std::map<ValueId, ValueId> seen;  ///< values of the level below that have one here
    Values captured;                  ///< those of them that are inputs, in order
  };

  Status check_opsets();
  Status add_input(const proto::ValueInfo& v);
  /// An input whose fixed value is no tensor: an optional that is not given, a sequence that is empty.
  [[nodiscard]] bool left_out(const std::string& name) const {
    const auto fixed = options_.values.find(name);
    return fixed != options_.values.end() && fixed->second.dtype() == DType::kUndefined;
  }
  Result<ValueId> tensor_input(const proto::ValueInfo& v, const std::string& name);
  Result<ValueId> sequence_input(const proto::ValueInfo& v);
  Status add_output(ValueId value, const std::string& name);
  Status import_nodes(const std::vector<proto::Node>& nodes);
  Status import_node(const proto::Node& node, const std::string& label);
  Result<Values> call_function(const proto::Function& function, const proto::Node& node, Values inputs);
  /// The operator that the program gave for this node; null where lathe has one itself.
  [[nodiscard]] std::shared_ptr<const lathe_operator> find_custom(const proto::Node& node) const;
  Result<Values> custom(const proto::Node& node, std::shared_ptr<const lathe_operator> op, Values inputs);
  Result<Values> translate(const proto::Node& node, Values inputs);
  Binding* find(std::string_view name, size_t* level = nullptr);
  [[nodiscard]] Level level(std::unique_ptr<Graph> graph) const;
  [[nodiscard]] Graph& graph() { return *levels_.back().graph; }
  /// Value `v` of a level as one of the innermost graph.
  ValueId capture(ValueId v, size_t level);
  Status import_body(const proto::Graph& graph, Values& outputs);
  Result<ValueId> lookup(std::string_view name);
  Status bind(std::string_view name, Binding binding);
  void name_value(ValueId v, std::string_view name);
  [[nodiscard]] int64_t opset(std::string_view domain) const;
  [[nodiscard]] Error located(Error e) const;
  void drop_unused_constants();

  const proto::Model& model_;
  TensorReader reader_;
  const ImportOptions& options_;
  const CustomOperators& operators_;
  std::string path_;
  std::vector<Level> levels_;
  std::vector<Scope> scopes_;
  std::unordered_set<std::string> used_names_;
  std::map<std::string, Dim> fixed_symbols_;
  std::vector<std::string> unsupported_;  ///< one line for each node that cannot be imported
  std::vector<Aggregate> aggregates_;
  int depth_ = 0;
  size_t imported_ = 0, most_nodes_ = 0;
};

}  // namespace lathe::onnx
