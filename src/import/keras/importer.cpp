// SPDX-License-Identifier: Apache-2.0
#include "import/keras/importer.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "import/archive.h"
#include "import/json.h"
#include "import/keras/layer.h"
#include "import/model_input.h"

namespace lathe::keras {

namespace {

constexpr size_t kMaxLayers = 20'000, kMaxSteps = 50'000'000;
constexpr int kMaxDepth = 16;  // models in models

std::string quote(std::string_view s) { return "\"" + std::string(s) + "\""; }

Result<Json> parsed(std::string_view text) {
  LATHE_TRY(Json j, importer::parse_json(text, "the model's configuration"));
  if (!j.is_object()) return damaged("the model's configuration: not a JSON object");
  return j;
}

std::string text_of(const Json& j, const char* key) {
  const auto found = j.find(key);
  return found != j.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Keras names what it saves by class: Conv2D → conv2d, BatchNormalization → batch_normalization, PReLU → p_re_lu.
std::string snake_case(std::string_view name) {
  const auto upper = [&](size_t i) { return i < name.size() && std::isupper(static_cast<unsigned char>(name[i])); };
  const auto lower = [&](size_t i) { return i < name.size() && std::islower(static_cast<unsigned char>(name[i])); };
  std::string r;
  for (size_t i = 0; i < name.size(); ++i) {
    if (i > 0 && upper(i) && (lower(i + 1) || lower(i - 1))) r += '_';
    r += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return r;
}

bool is_model(std::string_view class_name) {
  return class_name == "Sequential" || class_name == "Functional" || class_name == "Model";
}

/// A layer of a model's list.
struct Entry {
  const Json* config = nullptr;
  const Json* nodes = nullptr;  ///< the calls of a functional model
  std::string class_name, name, module;
};

/// A reference to what a call of a layer gave.
struct Reference {
  std::string layer;
  int64_t node = 0, tensor = 0;
  auto operator<=>(const Reference&) const = default;
};

/// Where the weights of a model's layers lie.
struct Shelf {
  bool listed = false;
  std::string group;                  ///< of an archive: the group of the model
  std::vector<std::string> datasets;  ///< of a .h5 file, for a model within a model: all of its weights
};

class Importer {
 public:
  Importer(const ImportOptions& options, const Hdf5& weights)
      : options_(options),
        weights_(weights),
        graph_(std::make_unique<Graph>()),
        builder_(*graph_, options.max_tensor_bytes) {}

  Result<std::unique_ptr<Graph>> run(const Json& model, bool listed, bool keras2) {
    keras2_ = keras2;
    const std::string class_name = text_of(model, "class_name");
    if (!is_model(class_name) || !model.contains("config"))
      return unsupported("a model of class " + quote(class_name) +
                         "; only Sequential and Functional models hold how they are computed: export others with "
                         "model.export() and build the SavedModel");
    Shelf shelf;
    shelf.listed = listed;
    if (listed) shelf.group = "model_weights";
    LATHE_TRY(const Values outputs, call_model(model, shelf, {}, true, 0));
    if (!unsupported_.empty()) {
      std::string all = std::to_string(unsupported_.size()) + " layers are not supported:";
      for (const std::string& line : unsupported_) all += "\n  " + line;
      return unsupported(std::move(all));
    }
    LATHE_CHECK(importer::check_input_names(options_, input_names_));
    std::set<std::string> taken;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoId) return damaged("an output has no value");
      std::string name = output_names_[i];
      while (!taken.insert(name).second) name += "_" + std::to_string(i);
      graph_->outputs.push_back(outputs[i]);
      graph_->output_names.push_back(std::move(name));
    }
    graph_->remove_dead();
    for (size_t i = 0; i < graph_->value_count(); ++i) {
      Value& v = graph_->value(static_cast<ValueId>(i));
      if (v.constant && v.users.empty() && !graph_->is_output(static_cast<ValueId>(i))) v.constant.reset();
    }
    return std::move(graph_);
  }

 private:
  Result<Entry> entry(const Json& j) const {
    Entry e;
    e.class_name = text_of(j, "class_name");
    e.module = text_of(j, "module");
    const auto config = j.find("config");
    if (e.class_name.empty() || config == j.end() || !config->is_object())
      return damaged("a layer has no class or configuration");
    e.config = &*config;
    e.name = text_of(j, "name");
    if (e.name.empty()) e.name = text_of(*config, "name");
    const auto nodes = j.find("inbound_nodes");
    if (nodes != j.end() && nodes->is_array()) e.nodes = &*nodes;
    return e;
  }

  Result<std::vector<Entry>> entries(const Json& config) const {
    const auto layers = config.find("layers");
    if (layers == config.end() || !layers->is_array()) return damaged("a model has no layers");
    if (layers->size() > kMaxLayers) return damaged("a model has too many layers");
    std::vector<Entry> all;
    for (const Json& j : *layers) {
      if (!j.is_object()) return damaged("a layer is no object");
      LATHE_TRY(Entry e, entry(j));
      all.push_back(std::move(e));
    }
    return all;
  }

  // In an archive a model's layers are named by class, and numbered where a class occurs again; functions that are no
  // layers are not saved.
  std::vector<std::string> groups(const std::vector<Entry>& all, const std::string& group) const {
    std::map<std::string, int> used;
    std::vector<std::string> r;
    for (const Entry& e : all) {
      if (e.module.starts_with("keras.src.ops") || e.module.starts_with("keras.ops")) {
        r.emplace_back();
        continue;
      }
      std::string name = snake_case(e.class_name);
      const int count = used[name]++;
      if (count > 0) name += "_" + std::to_string(count);
      r.push_back((group.empty() ? "" : group + "/") + "layers/" + name);
    }
    return r;
  }

  /// The datasets of a layer in a .h5 file, in the order of its weights.
  Result<std::vector<std::string>> datasets(const Shelf& shelf, const std::string& layer) const {
    std::vector<std::string> r;
    if (!shelf.datasets.empty()) {  // of a model within: those with the layer's name in their path
      for (const std::string& path : shelf.datasets)
        if (path.find("/" + layer + "/") != std::string::npos) r.push_back(path);
      return r;
    }
    const std::string group = shelf.group + "/" + layer;
    LATHE_TRY(const auto at, weights_.find(weights_.root(), group));
    if (!at) return r;
    const auto add = [&](const std::vector<std::string>& names) {
      for (const std::string& name : names) r.push_back(group + "/" + name);
    };
    LATHE_TRY(const auto names, weights_.strings(*at, "weight_names"));
    if (names) {
      add(*names);
      return r;
    }
    for (size_t i = 0;; ++i) {  // long lists are cut into pieces
      LATHE_TRY(const auto part, weights_.strings(*at, "weight_names" + std::to_string(i)));
      if (!part || i > kMaxLayers) return r;
      add(*part);
    }
  }

  Result<DType> dtype(const Json& config) const {
    const std::string name = text_of(config, "dtype");
    if (name.empty() || name == "float32") return DType::kF32;
    constexpr std::pair<std::string_view, DType> kTypes[] = {{"int32", DType::kI32},   {"int64", DType::kI64},
                                                             {"uint8", DType::kU8},    {"int8", DType::kI8},
                                                             {"float64", DType::kF64}, {"bool", DType::kBool}};
    for (const auto& [key, type] : kTypes)
      if (key == name) return type;
    return unsupported("an input of type " + quote(name) + " is not supported");
  }

  Result<ValueId> add_input(const std::string& name, const Json& config, const Json* shape_of) {
    importer::ModelInput input;
    input.name = name;
    LATHE_TRY(input.dtype, dtype(config));
    if (shape_of && shape_of->is_array()) {
      Shape shape;
      for (size_t d = 0; d < shape_of->size(); ++d) {
        const Json& j = (*shape_of)[d];
        if (j.is_number_integer() && j.get<int64_t>() >= 0 && j.get<int64_t>() < int64_t{1} << 40)
          shape.emplace_back(j.get<int64_t>());
        else if (j.is_null())
          shape.push_back(d == 0 ? batch_ : Dim::symbol(name + "_" + std::to_string(d)));
        else
          return damaged("input " + quote(name) + " has an impossible shape");
      }
      input.shape = std::move(shape);
    }
    input_names_.push_back(name);
    used_names_.insert(name);
    LATHE_TRY(const ValueId v, importer::add_model_input(*graph_, input, options_));
    // A batch that is given for one input is that of all.
    const Shape now = graph_->value(v).shape;
    if (input.shape && !input.shape->empty() && !now.empty()) batch_ = now[0];
    return v;
  }

  /// The results of a layer or a model on these inputs.
  Result<Values> call(const Entry& e, const std::string& group, const Shelf& shelf, Values inputs, bool causal,
                      int depth) {
    if (std::ranges::find(inputs, kNoId) != inputs.end()) return Values{kNoId};  // of a layer that is not supported
    if (is_model(e.class_name)) {
      Shelf inner;
      inner.listed = shelf.listed;
      inner.group = group;
      if (shelf.listed) {
        LATHE_TRY(inner.datasets, datasets(shelf, e.name));
        if (inner.datasets.empty()) inner.datasets = {"/"};  // one without weights
      }
      Json model = {{"class_name", e.class_name}, {"config", *e.config}};
      return call_model(model, inner, std::move(inputs), false, depth + 1);
    }
    const auto refused = [&](const std::string& why) {
      unsupported_.push_back("layer " + quote(scope_ + e.name) + " (" + e.class_name + "): " + why);
      return Values{kNoId};
    };
    const Row* row = find_row(e.class_name);
    if (!row) return refused("this layer is not supported");
    Place place;
    place.listed = shelf.listed;
    place.group = group;
    if (shelf.listed) {
      LATHE_TRY(place.datasets, datasets(shelf, e.name));
    }
    builder_.begin_node(scope_ + e.name);
    Layer layer(*row, *e.config, std::move(inputs), place, weights_, builder_);
    layer.keras2 = keras2_;
    layer.causal = causal;
    if (layer.in.size() < row->least_inputs) return damaged("layer " + quote(e.name) + " has too few inputs");
    if (layer.setting("quantization_config")) return refused("layers quantized by Keras are not supported");
    auto made = row->handler(layer);
    if (made) {
      for (size_t i = 0; i < made->size(); ++i) {
        if ((*made)[i] == kNoId) return damaged("layer " + quote(e.name) + " has no result");
        Value& value = graph_->value((*made)[i]);
        const std::string name = scope_ + e.name + (i ? ":" + std::to_string(i) : "");
        if (value.name.starts_with('%') && !value.constant && used_names_.insert(name).second) value.name = name;
      }
      return made;
    }
    if (made.error().code == Code::kUnsupported) return refused(made.error().message);
    return fail(made.error().code,
                "layer " + quote(scope_ + e.name) + " (" + e.class_name + "): " + made.error().message);
  }

  Result<Values> call_model(const Json& model, const Shelf& shelf, Values inputs, bool top, int depth) {
    if (depth > kMaxDepth) return damaged("models are nested too deep");
    const Json& config = model["config"];
    const std::string before = scope_;
    if (!top) scope_ += text_of(config, "name") + "/";
    auto made = text_of(model, "class_name") == "Sequential" ? sequential(model, shelf, std::move(inputs), top, depth)
                                                             : functional(config, shelf, std::move(inputs), top, depth);
    scope_ = before;
    return made;
  }

  Result<Values> sequential(const Json& model, const Shelf& shelf, Values inputs, bool top, int depth) {
    const Json& config = model["config"];
    // Keras before 2.2 had the list alone.
    const Json wrapped = config.is_array() ? Json{{"layers", config}} : config;
    LATHE_TRY(const std::vector<Entry> all, entries(wrapped));
    const auto names = groups(all, shelf.group);
    Values x = std::move(inputs);
    std::string last;
    for (size_t i = 0; i < all.size(); ++i) {
      const Entry& e = all[i];
      const bool is_input = e.class_name == "InputLayer";
      if (top && x.empty()) {
        const Json* shape = nullptr;
        for (const char* key : {"batch_shape", "batch_input_shape"})
          if (const auto found = e.config->find(key); found != e.config->end() && found->is_array()) shape = &*found;
        for (const Json* j : {&wrapped, &model})
          if (const auto found = j->find("build_input_shape"); !shape && found != j->end() && found->is_array())
            shape = &*found;
        LATHE_TRY(const ValueId v, add_input(is_input ? e.name : e.name + "_input", *e.config, shape));
        x = {v};
      }
      if (is_input) continue;
      LATHE_TRY(x, call(e, names[i], shelf, x, false, depth));
      last = e.name;
    }
    if (x.size() != 1) return damaged("a Sequential model has no result");
    if (top) output_names_ = {last};
    return x;
  }

  // ["name", node, tensor] or {"class_name": "__keras_tensor__", "config": {"keras_history": ["name", node, tensor]}}
  static std::optional<Reference> reference(const Json& j) {
    const Json* h = &j;
    if (j.is_object()) {
      const auto config = j.find("config");
      if (config == j.end() || !config->is_object() || !config->contains("keras_history")) return std::nullopt;
      h = &(*config)["keras_history"];
    }
    if (!h->is_array() || h->size() < 3 || !(*h)[0].is_string() || !(*h)[1].is_number_integer() ||
        !(*h)[2].is_number_integer())
      return std::nullopt;
    return Reference{(*h)[0].get<std::string>(), (*h)[1].get<int64_t>(), (*h)[2].get<int64_t>()};
  }

  /// What a call is given: references and numbers, lists flattened.
  struct Argument {
    std::optional<Reference> tensor;
    double number = 0;
  };
  Status arguments(const Json& j, std::vector<Argument>& all, int depth = 0) const {
    if (depth > 4 || all.size() > kMaxLayers) return damaged("a call's arguments are nested too deep");
    if (const auto r = reference(j)) {
      all.push_back({r});
    } else if (j.is_number()) {
      all.push_back({std::nullopt, j.get<double>()});
    } else if (j.is_array()) {
      for (const Json& e : j) LATHE_CHECK(arguments(e, all, depth + 1));
    } else if (!j.is_null()) {
      return unsupported("an argument that is neither a tensor nor a number");
    }
    return {};
  }

  struct Call {
    size_t entry = 0;
    int64_t node = 0;
    std::vector<Argument> args;
    bool causal = false, done = false;
    std::string refused;
  };

  Result<Call> parse_call(const Json& j, size_t entry, int64_t node) const {
    Call c;
    c.entry = entry;
    c.node = node;
    Status status;
    const Json* kwargs = nullptr;
    if (j.is_object()) {
      if (const auto args = j.find("args"); args != j.end()) status = arguments(*args, c.args);
      if (const auto k = j.find("kwargs"); k != j.end() && k->is_object()) kwargs = &*k;
    } else if (j.is_array()) {  // Keras 2: [["name", node, tensor, {kwargs}], …]
      for (const Json& e : j) {
        if (status && e.is_array() && e.size() > 3 && e[3].is_object()) kwargs = &e[3];
        if (status) status = arguments(e, c.args);
      }
    }
    if (kwargs)
      for (const auto& [key, value] : kwargs->items()) {
        if (value.is_null() || key == "training" || (value.is_boolean() && !value.get<bool>())) continue;
        if (key == "use_causal_mask" && value.is_boolean())
          c.causal = true;
        else if (reference(value) && (key == "key" || key == "value" || key == "x2"))
          c.args.push_back({reference(value)});
        else
          c.refused = "argument " + quote(key) + " is not supported";
      }
    if (!status) {
      if (status.error().code == Code::kDamaged) return std::unexpected(status.error());
      c.refused = status.error().message;
    }
    return c;
  }

  static std::vector<Reference> references(const Json& config, const char* key) {
    std::vector<Reference> r;
    const auto list = config.find(key);
    if (list == config.end()) return r;
    if (const auto one = reference(*list)) return {*one};
    if (list->is_array())
      for (const Json& j : *list)
        if (const auto one = reference(j)) r.push_back(*one);
    return r;
  }

  Result<Values> functional(const Json& config, const Shelf& shelf, Values inputs, bool top, int depth) {
    LATHE_TRY(const std::vector<Entry> all, entries(config));
    const auto names = groups(all, shelf.group);
    const auto given = references(config, "input_layers"), wanted = references(config, "output_layers");
    if (wanted.empty()) return damaged("a model has no outputs");
    if (!top && given.size() != inputs.size())
      return damaged("a model of " + std::to_string(given.size()) + " inputs is called with " +
                     std::to_string(inputs.size()));
    std::map<Reference, ValueId> values;
    std::vector<Call> calls;
    for (size_t k = 0; k < given.size(); ++k) {
      const auto e = std::ranges::find(all, given[k].layer, &Entry::name);
      if (e == all.end()) return damaged("input " + quote(given[k].layer) + " is no layer");
      if (!top) {
        values[given[k]] = inputs[k];
        continue;
      }
      const Json* shape = nullptr;
      for (const char* key : {"batch_shape", "batch_input_shape"})
        if (const auto found = e->config->find(key); found != e->config->end()) shape = &*found;
      LATHE_TRY(const ValueId v, add_input(e->name, *e->config, shape));
      values[given[k]] = v;
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].class_name == "InputLayer" || !all[i].nodes) continue;
      for (size_t k = 0; k < all[i].nodes->size(); ++k) {
        LATHE_TRY(Call c, parse_call((*all[i].nodes)[k], i, static_cast<int64_t>(k)));
        if (calls.size() >= kMaxLayers) return damaged("a model has too many calls");
        calls.push_back(std::move(c));
      }
    }
    // Layers are listed about in order: a few rounds reach all.
    size_t left = calls.size(), steps = 0;
    for (bool progress = true; left > 0 && progress;) {
      progress = false;
      for (Call& c : calls) {
        if (c.done) continue;
        if ((steps += 1 + c.args.size()) > kMaxSteps) return damaged("a model's calls are in no order");
        if (!std::ranges::all_of(c.args, [&](const Argument& a) { return !a.tensor || values.contains(*a.tensor); }))
          continue;
        LATHE_CHECK(run_call(c, all[c.entry], names[c.entry], shelf, values, depth));
        progress = true;
        --left;
      }
    }
    Values result;
    for (const Reference& r : wanted) {
      const auto found = values.find(r);
      if (found == values.end()) return damaged("output " + quote(r.layer) + " is computed by nothing");
      result.push_back(found->second);
      if (top) output_names_.push_back(r.layer);
    }
    return result;
  }

  Status run_call(Call& c, const Entry& e, const std::string& group, const Shelf& shelf,
                  std::map<Reference, ValueId>& values, int depth) {
    c.done = true;
    if (!c.refused.empty()) {
      unsupported_.push_back("layer " + quote(scope_ + e.name) + " (" + e.class_name + "): " + c.refused);
      values[{e.name, c.node, 0}] = kNoId;
      return {};
    }
    Values in;
    DType type = DType::kF32;
    for (const Argument& a : c.args)
      if (a.tensor && values.at(*a.tensor) != kNoId) type = builder_.dtype(values.at(*a.tensor));
    builder_.begin_node(scope_ + e.name);
    for (const Argument& a : c.args) in.push_back(a.tensor ? values.at(*a.tensor) : builder_.scalar(type, a.number));
    if (in.empty()) return damaged("layer " + quote(e.name) + " is called without inputs");
    LATHE_TRY(const Values made, call(e, group, shelf, std::move(in), c.causal, depth));
    for (size_t i = 0; i < made.size(); ++i) values[{e.name, c.node, static_cast<int64_t>(i)}] = made[i];
    return {};
  }

  const ImportOptions& options_;
  const Hdf5& weights_;
  std::unique_ptr<Graph> graph_;
  Builder builder_;
  bool keras2_ = false;
  Dim batch_ = Dim::symbol("batch");
  std::string scope_;  ///< names of the models around, each with a slash
  std::vector<std::string> input_names_, output_names_, unsupported_;
  std::unordered_set<std::string> used_names_;
};

Result<std::unique_ptr<Graph>> import_archive(const importer::FileBytes& file, const ImportOptions& options) {
  LATHE_TRY(const importer::Archive archive, importer::Archive::open(file, options.max_tensor_bytes));
  LATHE_TRY(const importer::FileBytes config, archive.read("config.json"));
  LATHE_TRY(const importer::FileBytes bytes, archive.read("model.weights.h5"));
  LATHE_TRY(const Json model, parsed(config.bytes));
  bool keras2 = false;
  if (archive.has("metadata.json")) {
    LATHE_TRY(const importer::FileBytes metadata, archive.read("metadata.json"));
    LATHE_TRY(const Json facts, parsed(metadata.bytes));
    keras2 = text_of(facts, "keras_version").starts_with("2.");
  }
  LATHE_TRY(const Hdf5 weights, Hdf5::open(bytes, options.max_tensor_bytes));
  return Importer(options, weights).run(model, false, keras2);
}

Result<std::unique_ptr<Graph>> import_file(const importer::FileBytes& file, const ImportOptions& options) {
  LATHE_TRY(const Hdf5 weights, Hdf5::open(file, options.max_tensor_bytes));
  LATHE_TRY(const auto config, weights.strings(weights.root(), "model_config"));
  if (!config || config->empty())
    return unsupported("the file holds weights without the model; save the whole model (model.save)");
  LATHE_TRY(const Json model, parsed((*config)[0]));
  LATHE_TRY(const auto version, weights.strings(weights.root(), "keras_version"));
  const bool keras2 = version && !version->empty() && !(*version)[0].starts_with("3.");
  return Importer(options, weights).run(model, true, keras2);
}

}  // namespace

bool looks_like_archive(const importer::FileBytes& file) {
  const auto archive = importer::Archive::open(file, size_t{1} << 20);
  return archive && archive->has("config.json") && archive->has("model.weights.h5");
}

Result<std::unique_ptr<Graph>> import_keras(const importer::FileBytes& file, const std::string& name,
                                            const ImportOptions& options) {
  auto graph = Hdf5::looks_like(file.bytes) ? import_file(file, options) : import_archive(file, options);
  if (!graph) return fail(graph.error().code, name + ": " + graph.error().message);
  return graph;
}

}  // namespace lathe::keras
