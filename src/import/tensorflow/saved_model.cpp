// SPDX-License-Identifier: Apache-2.0
// From files to signatures: which graph of a SavedModel, which of its signatures, and what a frozen graph's are.
#include <algorithm>
#include <filesystem>

#include "import/file_bytes.h"
#include "import/tensorflow/importer.h"

namespace lathe::tensorflow {

namespace {

constexpr int kMaxRounds = 8;

Error located(const std::string& path, Error e) {
  e.message = path + ": " + e.message;
  return e;
}

// The one asked for, else serving_default, else the only one.
Result<proto::Signature> choose(const std::vector<proto::Signature>& all, const std::string& wanted) {
  std::string names;
  std::vector<const proto::Signature*> proper;
  for (const auto& s : all) {
    if (s.key == wanted || (wanted.empty() && s.key == "serving_default")) return s;
    if (s.key == "__saved_model_init_op" || s.key == "__saved_model_train_op") continue;
    names += (names.empty() ? "" : ", ") + std::string(s.key);
    proper.push_back(&s);
  }
  if (wanted.empty() && proper.size() == 1) return *proper[0];
  if (proper.empty())
    return unsupported(
        "the model has no signature; export it with one (Keras: model.export, TensorFlow: "
        "tf.saved_model.save with signatures)");
  return fail(Code::kUsage, wanted.empty() ? "choose a signature; the model's are: " + names
                                           : "there is no signature \"" + wanted + "\"; the model's are: " + names);
}

}  // namespace

Result<std::unique_ptr<Graph>> import_saved_model(const std::string& path, const ImportOptions& options) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(path, error);
  const std::filesystem::path folder =
      is_folder ? std::filesystem::path(path) : std::filesystem::path(path).parent_path();
  const std::string file = is_folder ? (folder / "saved_model.pb").string() : path;
  LATHE_TRY(const importer::FileBytes bytes, importer::map_file(file));
  const auto import = [&]() -> Result<std::unique_ptr<Graph>> {
    LATHE_TRY(const proto::SavedModel model, proto::parse_saved_model(bytes.bytes));
    if (model.meta_graphs.empty()) return damaged("a SavedModel without a graph");
    const auto serve = std::ranges::find_if(model.meta_graphs, [](const proto::MetaGraph& m) {
      return std::ranges::find(m.tags, "serve") != m.tags.end();
    });
    const proto::MetaGraph& meta = serve == model.meta_graphs.end() ? model.meta_graphs[0] : *serve;
    LATHE_TRY(proto::Signature signature, choose(meta.signatures, options.signature));
    std::ranges::sort(signature.inputs, {}, &proto::TensorInfo::key);
    std::ranges::sort(signature.outputs, {}, &proto::TensorInfo::key);
    const std::string variables = (folder / "variables" / "variables").string();
    // Which variables the model changes shows when it is imported; a model that does is imported again with these as
    // state.
    std::set<std::string> changing;
    for (int round = 0; round < kMaxRounds; ++round) {
      Importer importer(meta.graph, bytes.owner, options, changing);
      if (std::filesystem::exists(variables + ".index", error)) {
        LATHE_TRY(auto checkpoint, Checkpoint::open(variables, options.max_tensor_bytes));
        importer.use(std::move(checkpoint), meta.restore_op);
      }
      auto graph = importer.run(signature);
      const auto more = importer.also_changing();
      if (more.empty()) return graph;
      changing.insert(more.begin(), more.end());
    }
    return unsupported("which variables the model changes depends on their values");
  };
  auto graph = import();
  if (!graph) return std::unexpected(located(path, graph.error()));
  if ((*graph)->name.empty()) (*graph)->name = std::filesystem::path(path).lexically_normal().filename().string();
  return graph;
}

Result<std::unique_ptr<Graph>> import_graph_def(const std::string& path, const ImportOptions& options) {
  LATHE_TRY(const importer::FileBytes bytes, importer::map_file(path));
  const auto import = [&]() -> Result<std::unique_ptr<Graph>> {
    LATHE_TRY(const proto::Graph graph, proto::parse_graph(bytes.bytes));
    proto::Signature signature;
    std::unordered_set<std::string_view> used;
    for (const auto& n : graph.nodes)
      for (auto input : n.inputs) {
        if (input.starts_with('^')) input.remove_prefix(1);
        used.insert(input.substr(0, input.find(':')));
      }
    for (const auto& n : graph.nodes) {
      proto::TensorInfo info{n.name, n.name, true, 0, {}};
      if (n.op == "Placeholder") {
        const auto type = n.attrs.find("dtype"), shape = n.attrs.find("shape");
        if (type != n.attrs.end()) info.dtype = type->second.i;
        info.shape.known_rank = false;
        if (shape != n.attrs.end()) info.shape = shape->second.shape;
        signature.inputs.push_back(info);
      } else if (!used.contains(n.name) && n.op != "NoOp" && n.op != "Const" && n.op != "Assert" && n.op != "Print") {
        signature.outputs.push_back(info);
      }
    }
    const std::set<std::string> none_change;
    Importer importer(graph, bytes.owner, options, none_change);
    return importer.run(signature);
  };
  auto graph = import();
  if (!graph) return std::unexpected(located(path, graph.error()));
  return graph;
}

}  // namespace lathe::tensorflow
