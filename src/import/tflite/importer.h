// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "import/builder.h"
#include "import/import.h"
#include "import/states.h"
#include "import/tflite/model.h"
#include "import/tflite/node.h"

namespace lathe::tflite {

/// Imports the TFLite or LiteRT model at `path`: its first subgraph, or the one of `options.signature`.
Result<std::unique_ptr<Graph>> import_tflite(const std::string& path, const ImportOptions& options);

/// Translates one model into one graph. Tensors are numbered within their subgraph; subgraphs that control flow calls
/// are imported in place.
class Importer {
 public:
  Importer(const Model& model, const ImportOptions& options, std::string path);
  Result<std::unique_ptr<Graph>> run();

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] const ImportOptions& options() const { return options_; }
  /// Imports a subgraph's operators in place, for these inputs; returns its outputs. An error without text: what is not
  /// supported in it has been listed.
  Result<Values> inline_subgraph(int64_t index, Values inputs);
  /// Runs a subgraph that sets variables to their first values.
  Status initialize(int64_t index);

  /// A graph for a node to hold: takes values of these types and then `captured` ones of the graph around.
  struct Nested {
    std::shared_ptr<Graph> graph;
    Values captured;
  };
  /// What `fill` makes of the inputs of a new graph, in that graph. Constants among `given` are constants in it and no
  /// inputs; `types` are those of its own inputs, which come first.
  Result<Nested> nest(const std::vector<ValueInfo>& types, const Values& given,
                      const std::function<Result<Values>(const Values& own, const Values& given)>& fill);
  /// The subgraph's inputs that its outputs of the same place hand on as they are.
  Result<std::vector<bool>> handed_on(int64_t index) const;
  importer::Builder& builder() { return *builder_; }

  /// The number of a variable that VAR_HANDLE names.
  Result<ValueId> variable(const std::string& name);
  Result<ValueId> read(ValueId handle);
  Status assign(ValueId handle, ValueId value);
  /// A tensor that keeps its value from one run to the next gets a new one.
  Status set_state(const fb::Tensor& t, ValueId value);
  /// Quantization parameters, which handlers keep pointers to.
  const Quantization* quantization(const fb::Tensor& t);
  [[nodiscard]] size_t node_count() const { return graph_->node_count(); }

 private:
  struct Binding {
    ValueId value = kNoId;
    bool failed = false;  ///< output of an operator that could not be imported
    bool defined = false;
  };
  struct Scope {
    const fb::SubGraph* graph = nullptr;
    std::vector<Binding> tensors;
  };
  struct Names {
    std::vector<std::string> inputs, outputs;
  };

  Result<const fb::SubGraph*> subgraph(int64_t index) const;
  Status check(const fb::SubGraph& g, int64_t index);
  Result<int64_t> entry(std::optional<Names>& names) const;
  Status add_input(Scope& scope, int32_t tensor, const std::string& name);
  Status import_operators(Scope& scope);
  Status import_operator(Scope& scope, const fb::Operator& op, size_t number);
  Result<Values> translate(const fb::Operator& op, const fb::SubGraph& g, Values inputs);
  Result<ValueId> lookup(Scope& scope, int32_t tensor);
  Result<size_t> state_of(const fb::Tensor& t);
  void name_value(ValueId v, const std::string& name);
  Status fill();
  static void drop_unused_constants(Graph& g);

  const Model& model_;
  const ImportOptions& options_;
  std::string path_;
  /// What VAR_HANDLE names: state as soon as it is read, with the first value that an initializer gave it.
  struct Variable {
    std::string name;
    std::optional<Tensor> initial;
    std::optional<size_t> state;
    ValueId assigned = kNoId;  ///< before it is read
  };
  Result<Variable*> variable_of(ValueId handle);

  std::unique_ptr<Graph> model_graph_;
  Graph* graph_ = nullptr;  ///< the one that nodes are added to: the model's, or one that a node will hold
  std::unique_ptr<importer::Builder> builder_;
  importer::States states_;
  std::unordered_map<const fb::Tensor*, size_t> state_tensors_;
  std::vector<Variable> variables_;
  std::unordered_map<std::string, size_t> variable_index_;
  bool initializing_ = false;
  std::unordered_set<std::string> used_names_;
  std::unordered_set<int64_t> checked_;
  std::unordered_map<const fb::Tensor*, std::optional<Quantization>> quantizations_;
  std::vector<std::string> unsupported_;  ///< one line for each operator that cannot be imported
  int depth_ = 0;
};

}  // namespace lathe::tflite
