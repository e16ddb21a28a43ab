// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "import/builder.h"
#include "import/import.h"
#include "import/states.h"
#include "import/tensorflow/checkpoint.h"
#include "import/tensorflow/node.h"
#include "import/tensorflow/proto.h"

namespace lathe::tensorflow {

/// Imports the SavedModel in the folder `path`, or whose saved_model.pb that is.
Result<std::unique_ptr<Graph>> import_saved_model(const std::string& path, const ImportOptions& options);
/// Imports a frozen GraphDef: its Placeholders are the inputs, what nobody uses are the outputs.
Result<std::unique_ptr<Graph>> import_graph_def(const std::string& path, const ImportOptions& options);

/// Translates one graph, calls of functions inlined, into ours. Only nodes that an output or an assignment needs are
/// looked at.
class Importer {
 public:
  /// `changing`: the variables, by name, that the model changes; they become state, the others constants.
  Importer(const proto::Graph& graph, std::shared_ptr<const void> owner, const ImportOptions& options,
           const std::set<std::string>& changing);

  /// Variables come from here.
  void use(Checkpoint checkpoint, std::string_view restore_op);
  Result<std::unique_ptr<Graph>> run(const proto::Signature& signature);
  /// Variables that were assigned and are not among the changing ones: the graph that run() gave is then not the
  /// model's.
  [[nodiscard]] std::set<std::string> also_changing() const;

  /// The results of a function of the library on these arguments.
  Result<Items> call(std::string_view function, const Items& arguments, std::string_view caller);
  /// Whether running the function may change a variable.
  [[nodiscard]] bool assigns(std::string_view function) const;
  Result<Item> variable(const Node& n);
  Result<Item> read(const Item& handle);
  Status assign(const Item& handle, Item value);
  Result<Tensor> tensor(std::string_view serialised, std::vector<float>* complex);
  /// Prefix of the names of the nodes that are being imported.
  [[nodiscard]] const std::string& scope() const { return scope_; }

 private:
  struct Variable {
    std::string name;  ///< what the checkpoint and messages call it
    std::optional<Item> value;
    std::optional<size_t> state = {};  ///< number in states_
    bool assigned = false;
  };
  /// A list of nodes while it is run: the graph itself, or a function's body.
  struct Frame {
    const std::vector<proto::Node>& nodes;
    bool function = false;
    std::unordered_map<std::string_view, size_t> index = {};
    std::unordered_map<std::string_view, Item> arguments = {};
    std::vector<Items> results = {};
  };
  /// A reference to an output: "node:1", "node:output:1", "argument", "^node".
  struct Reference {
    std::string_view node;
    std::string_view output;  ///< name of the output argument; empty in graphs
    size_t index = 0;
    bool control = false;
  };

  static Reference parse(std::string_view text, bool function);
  Status check_names(Frame& f) const;
  Result<std::vector<size_t>> plan(const Frame& f, const std::vector<std::string_view>& wanted,
                                   std::vector<bool>& executed) const;
  [[nodiscard]] bool has_effect(const proto::Node& n) const;
  Result<Items> run_frame(Frame& f, const std::vector<std::string_view>& wanted, size_t values);
  Status import_node(Frame& f, size_t at);
  Result<Items> translate(const proto::Node& n, Items inputs);
  Result<Item> lookup(const Frame& f, const Reference& r) const;
  Status add_inputs(const proto::Signature& s, Frame& top);
  Status find_restored(std::string_view restore_op);
  Status finish(const proto::Signature& s, const Items& results);
  void name_value(ValueId v, const std::string& name);

  const proto::Graph& model_;
  std::shared_ptr<const void> owner_;
  const ImportOptions& options_;
  std::unique_ptr<Graph> graph_;
  importer::Builder builder_;
  importer::States states_;
  const std::set<std::string>& changing_;
  std::unordered_map<std::string_view, const proto::Function*> functions_;
  std::optional<Checkpoint> checkpoint_;
  std::unordered_map<std::string, std::string> restored_;  ///< variable → key of the checkpoint
  std::vector<Variable> variables_;
  std::unordered_map<std::string, size_t> variable_index_;
  std::unordered_set<std::string> used_names_;
  std::vector<std::string> unsupported_;  ///< one line for each node that cannot be imported
  std::string scope_;
  size_t nodes_seen_ = 0;
  int depth_ = 0;
};

}  // namespace lathe::tensorflow
