// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "import/builder.h"
#include "import/import.h"
#include "import/pt2/node.h"
#include "import/pt2/schema.h"
#include "import/pt2/weights.h"

namespace lathe::pt2 {

/// Imports the ExportedProgram at `path`, an archive that torch.export.save wrote.
Result<std::unique_ptr<Graph>> import_pt2(const std::string& path, const ImportOptions& options);
/// The same from bytes; `path` is for messages.
Result<std::unique_ptr<Graph>> import_pt2(importer::FileBytes file, const std::string& path,
                                          const ImportOptions& options);

/// The names that a node gives to its results; "" where a result has none.
std::vector<std::string> output_names(const schema::Node& node);

/// Translates one exported program into one graph.
///
/// An exported program may change tensors in place, and tensors may be views of others. A name is therefore bound to a
/// value and, if it is a view, to the node that made it: a change is carried to what was viewed, and views of it are
/// made again when they are asked for next. What is not changed costs nothing.
class Importer {
 public:
  Importer(const schema::Program& program, Weights weights, const ImportOptions& options, std::string path,
           std::unique_ptr<Graph> graph = std::make_unique<Graph>());
  Result<std::unique_ptr<Graph>> run();

  /// The value of a tensor by name. kUnsupported with no message: it depends on what is listed already.
  Result<ValueId> tensor(std::string_view name);
  /// A symbolic integer or float by name.
  Result<Dim> size(std::string_view name);
  Result<double> real(std::string_view name);

 private:
  struct Binding {
    enum class Kind : uint8_t { kTensor, kSize, kReal, kOpaque, kFailed } kind = Kind::kTensor;
    ValueId value = kNoId;
    const schema::InputSpec* stored = nullptr;  ///< a weight not used yet
    Dim dim = {};
    double real = 0;
    std::string alias = {};  ///< another name of the same tensor
    // A view of `parent`, made by output `output` of `view` when the parent's version was `seen`.
    const schema::Node* view = nullptr;
    size_t output = 0;
    std::string parent = {};
    int64_t seen = 0, version = 0;
    int depth = 0;             ///< views of views up to here
    std::string outside = {};  ///< the model's weight or input that this is, whose change would be seen outside
  };

  Status add_inputs();
  Status add_user_input(const schema::InputSpec& spec);
  Status add_outputs();
  Status import_nodes(const schema::Graph& graph);
  Status import_node(const schema::Node& node);
  Status translate(const schema::Node& node);
  Result<Values> call(const schema::Node& node, const Row& row, ValueId replacement);
  /// False if the node is none that computes sizes.
  Result<bool> symbolic(const schema::Node& node);
  Result<Binding> scalar(const schema::Argument& a);
  // control.cpp: graphs that nodes hold
  struct Inner;
  [[nodiscard]] Inner inner(const schema::Node& node) const;
  Result<Binding> enter(Inner& in, const schema::Argument& a);
  Result<Values> body(const schema::Graph& graph, std::vector<Binding> arguments);
  Result<std::shared_ptr<Graph>> finish(Inner& in, const Result<Values>& outputs);
  /// False if the node is no control flow.
  Result<bool> control(const schema::Node& node, std::string_view op);
  Result<Values> conditional(const schema::Node& node);
  Result<Values> while_loop(const schema::Node& node);
  Result<Values> scan(const schema::Node& node, bool states);

  Status inline_graph(const schema::Node& node, const schema::Graph& graph, size_t first_argument);
  Status bind_outputs(const schema::Node& node, const Row& row, const Values& values);
  Status bind(const std::string& name, Binding binding);
  /// The name a name of the current graph is bound under, and its binding with aliases followed.
  std::string resolved(std::string_view name) const;
  Binding* find(std::string_view name);
  /// Changes a tensor in place.
  Status mutate(const std::string& resolved_name, ValueId value);
  Result<ValueId> write_back(const Binding& view, ValueId parent, ValueId value);
  Result<int64_t> version_of(const std::string& resolved_name);
  Result<ValueId> current(Binding& binding);
  [[nodiscard]] bool contiguous(const std::string& name) const;
  void name_value(ValueId v, const std::string& name);
  [[nodiscard]] std::string label(const schema::Node& node) const;
  void drop_unused_constants();

  const schema::Program& program_;
  Weights weights_;
  const ImportOptions& options_;
  std::string path_;
  std::unique_ptr<Graph> graph_;
  importer::Builder builder_;
  std::unordered_map<std::string, Binding> names_;
  std::string prefix_;  ///< of the names of the graph that is being imported
  const schema::Graph* current_graph_ = nullptr;
  std::unordered_set<std::string> used_names_;
  std::map<std::string, Dim> fixed_symbols_;
  std::vector<std::string> unsupported_;
  int depth_ = 0;
  int64_t inlined_ = 0;
};

}  // namespace lathe::pt2
