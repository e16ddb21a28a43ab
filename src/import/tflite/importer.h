// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "import/builder.h"
#include "import/import.h"
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
  void name_value(ValueId v, const std::string& name);
  Status fill();
  void drop_unused_constants();

  const Model& model_;
  const ImportOptions& options_;
  std::string path_;
  std::unique_ptr<Graph> graph_;
  importer::Builder builder_;
  std::unordered_set<std::string> used_names_;
  std::unordered_set<int64_t> checked_;
  std::unordered_map<const fb::Tensor*, std::optional<Quantization>> quantizations_;
  std::vector<std::string> unsupported_;  ///< one line for each operator that cannot be imported
  int depth_ = 0;
};

}  // namespace lathe::tflite
