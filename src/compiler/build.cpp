// SPDX-License-Identifier: Apache-2.0
// The whole path: model file → graph → passes → plan and code for each target → engine.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/atomic_file.h"
#include "base/cpu_features.h"
#include "codegen/generate.h"
#include "compiler/quantize.h"
#include "compiler/weight_only.h"
#include "engine/engine.h"
#include "engine/trust.h"
#include "engine/write.h"
#include "export/onnx/onnx.h"
#include "export/tflite/tflite.h"
#include "import/operators.h"
#include "lathe/compiler.hpp"
#include "passes/passes.h"
#include "passes/unfused.h"
#include "runtime/operators.h"
#include "target/target.h"
#include "tune/tuner.h"

namespace lathe::compiler {

namespace {

constexpr const char* kVersion = "0.1.0";

Failure to_failure(const Error& e) { return {static_cast<int>(e.code), e.message}; }

template <class T>
std::unexpected<Failure> forward(const lathe::Result<T>& r) {
  return std::unexpected(to_failure(r.error()));
}

/// Measures stages and passes on what the caller wants to see of them.
class Stages {
 public:
  Stages(const BuildOptions& options, BuildReport& report) : options_(options), report_(report) {}
  /// False if the caller asks to stop.
  bool start(const char* stage) {
    close();
    stage_ = stage;
    begin_ = Clock::now();
    return at(0);
  }
  bool at(double done) const { return !options_.progress || options_.progress(stage_, done); }
  void close() {
    if (stage_) report_.seconds.emplace_back(stage_, std::chrono::duration<double>(Clock::now() - begin_).count());
    stage_ = nullptr;
  }

 private:
  using Clock = std::chrono::steady_clock;
  const BuildOptions& options_;
  BuildReport& report_;
  const char* stage_ = nullptr;
  Clock::time_point begin_;
};

lathe::Error interrupted() { return {Code::kInterrupted, "interrupted; nothing was written"}; }

/// "1x3x224x224", symbolic parts by name: "batchx3x224x224" is ambiguous only where a name holds an x, so commas are
/// taken too: "batch,3,224,224". "" is a scalar.
lathe::Result<Shape> parse_shape(const std::string& input, const std::string& text) {
  Shape shape;
  const char separator = text.find(',') != std::string::npos ? ',' : 'x';
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find(separator, at);
    // A name that holds an x ("max_len x 64" is written with commas): digits before the separator end a number.
    if (end == std::string::npos) end = text.size();
    const auto d = parse_dim(text.substr(at, end - at));
    if (!d || (d->is_const() && d->value() < 0))
      return fail(Code::kUsage, "--shape " + input + "=" + text + ": \"" + text.substr(at, end - at) +
                                    "\" is no dimension; write e.g. 1x3x224x224 or batch,3,224,224");
    shape.push_back(*d);
    at = end + 1;
  }
  return shape;
}

/// Numbers of an input that is fixed: integers, else floats; the importer makes them the input's type.
lathe::Result<Tensor> parse_value(const std::string& input, const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::vector<int64_t> integers;
  std::vector<double> floats;
  for (const std::string& w : words) {
    const char* const end = w.data() + w.size();
    int64_t i = w == "true";
    double f = static_cast<double>(i);
    if (w != "true" && w != "false") {
      if (const auto read = std::from_chars(w.data(), end, f); read.ec != std::errc() || read.ptr != end)
        return fail(Code::kUsage, "--value " + input + "=" + text + ": \"" + w + "\" is no number");
      if (const auto read = std::from_chars(w.data(), end, i); read.ec == std::errc() && read.ptr == end)
        integers.push_back(i);
    } else {
      integers.push_back(i);
    }
    floats.push_back(f);
  }
  std::vector<int64_t> dims;
  if (words.size() != 1 || text.back() == ',') dims.push_back(static_cast<int64_t>(words.size()));
  if (integers.size() == words.size()) return Tensor::of<int64_t>(DType::kI64, dims, integers);
  return Tensor::of<double>(DType::kF64, dims, floats);
}

/// Whether ranges are chosen and layers made integer ones.
bool quantizes(const BuildOptions& o) { return o.precision == "int8" || o.precision == "mixed"; }

lathe::Status check_options(const BuildOptions& o) {
  static const std::set<std::string> kMaths{"strict", "default", "fast"};
  if (!kMaths.contains(o.math)) return fail(Code::kUsage, "--math " + o.math + ": choose strict, default or fast");
  static const std::set<std::string> kPrecisions{"fp32", "fp16", "bf16", "int8", "mixed"};
  if (is_weight_only(o.precision))
    LATHE_CHECK(check_weight_options(o));
  else if (!kPrecisions.contains(o.precision))
    return fail(Code::kUsage,
                "--precision " + o.precision + ": choose fp32, fp16, bf16, int8, mixed, w8, w4, wfp8 or wfp4");
  const QuantizeOptions& q = o.quantize;
  if (quantizes(o) && !q.calibration.load)
    return fail(Code::kUsage, "--precision " + o.precision +
                                  " needs inputs to choose ranges by: give --calibrate a folder, npz or npy file");
  static const std::set<std::string> kCalibrators{"auto", "minmax", "percentile", "entropy", "mse"};
  if (!kCalibrators.contains(q.calibrator))
    return fail(Code::kUsage, "calibrator \"" + q.calibrator + "\": choose auto, minmax, percentile, entropy or mse");
  if (q.activations != "u8" && q.activations != "i8")
    return fail(Code::kUsage, "activations \"" + q.activations + "\": choose u8 or i8");
  if (!(q.percentile > 50 && q.percentile <= 100)) return fail(Code::kUsage, "the percentile lies in (50, 100]");
  if (!(q.max_loss >= 0)) return fail(Code::kUsage, "the loss allowed is a percentage of at least 0");
  static const std::set<std::string> kTunes{"none", "fast", "full"};
  if (!kTunes.contains(o.tune)) return fail(Code::kUsage, "--tune " + o.tune + ": choose none, fast or full");
  return {};
}

/// The size to optimise for where nobody says it: a batch of one, and for other dimensions (lengths, heights) a number
/// for which tiles of many rows pay; kernels for it are nearly as good for one row, which kernels for one row are not
/// for many.
constexpr int64_t kTypicalBatch = 1, kTypicalLength = 128;

/// Sets `opt` of symbols that are dimensions of inputs, but for those in `given`.
void choose_typical(Graph& graph, const std::set<std::string>& given) {
  std::set<std::string> leading;
  for (const ValueId v : graph.inputs)
    if (const Shape& shape = graph.value(v).shape; !shape.empty()) leading.insert(shape[0].symbol_name());
  for (const ValueId v : graph.inputs)
    for (const Dim& d : graph.value(v).shape) {
      const auto at = graph.symbols.find(d.symbol_name());
      if (at == graph.symbols.end() || given.contains(at->first)) continue;
      SymbolRange& range = at->second;
      range.opt = std::clamp(leading.contains(at->first) ? kTypicalBatch : kTypicalLength, range.min, range.max);
    }
}

/// Ranges of symbols from --min-shape, --opt-shape and --max-shape.
lathe::Status set_ranges(Graph& graph, const BuildOptions& o) {
  std::set<std::string> given;  // whose typical size the model or the caller tells
  for (const auto& [name, range] : graph.symbols)
    if (range.opt != std::clamp<int64_t>(1, range.min, range.max)) given.insert(name);
  struct Kind {
    const std::map<std::string, std::string>& shapes;
    int64_t SymbolRange::* field;
    const char* flag;
  };
  for (const Kind& kind :
       {Kind{o.min_shapes, &SymbolRange::min, "--min-shape"}, Kind{o.opt_shapes, &SymbolRange::opt, "--opt-shape"},
        Kind{o.max_shapes, &SymbolRange::max, "--max-shape"}})
    for (const auto& [name, text] : kind.shapes) {
      const auto v = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                                  [&](ValueId id) { return graph.value(id).name == name; });
      if (v == graph.inputs.end())
        return fail(Code::kUsage, std::string(kind.flag) + " names \"" + name + "\", which is no input of the model");
      LATHE_TRY(const Shape wanted, parse_shape(name, text));
      const Shape& have = graph.value(*v).shape;
      if (wanted.size() != have.size())
        return fail(Code::kUsage, std::string(kind.flag) + " " + name + "=" + text + ": the input has rank " +
                                      std::to_string(have.size()));
      for (size_t i = 0; i < have.size(); ++i) {
        const std::string symbol = have[i].symbol_name();
        if (symbol.empty() || !wanted[i].is_const()) continue;
        graph.symbols[symbol].*(kind.field) = wanted[i].value();
        if (kind.field == &SymbolRange::opt) given.insert(symbol);
      }
    }
  for (const auto& [name, range] : graph.symbols)
    if (range.min > range.max || (given.contains(name) && (range.opt < range.min || range.opt > range.max)))
      return fail(Code::kUsage, "sizes of \"" + name + "\": from " + std::to_string(range.min) + " to " +
                                    std::to_string(range.max) + ", optimised for " + std::to_string(range.opt) +
                                    "; --min-shape, --opt-shape and --max-shape must not decrease");
  choose_typical(graph, given);
  return {};
}

lathe::Result<std::unique_ptr<Graph>> load_graph(const std::string& model, const BuildOptions& o) {
  ImportOptions options;
  for (const auto& [name, text] : o.shapes) {
    if (text == "none") {
      options.values[name] = Tensor();  // absent
      continue;
    }
    LATHE_TRY(options.shapes[name], parse_shape(name, text));
  }
  for (const auto& [name, text] : o.values) {
    LATHE_TRY(options.values[name], parse_value(name, text));
  }
  if (o.memory_limit > 0) options.max_tensor_bytes = static_cast<size_t>(o.memory_limit);
  options.signature = o.signature;
  CustomOperators operators;
  for (const lathe_operator* op : o.operators) {
    LATHE_CHECK(register_operator(*op));  // for runs of the graph while it is quantized
    operators.push_back(std::make_shared<const lathe_operator>(*find_operator(op->domain, op->name)));
  }
  LATHE_TRY(auto graph, import_model(model, options, operators));
  LATHE_CHECK(set_ranges(*graph, o));
  return graph;
}

Math math_of(const BuildOptions& o) {
  return o.math == "strict" ? Math::kStrict : o.math == "fast" ? Math::kFast : Math::kDefault;
}

PassOptions passes_of(const BuildOptions& o) {
  PassOptions options;
  options.math = math_of(o);
  if (o.precision == "fp16" || is_weight_only(o.precision)) options.weights = DType::kF16;
  if (o.precision == "bf16") options.weights = DType::kBF16;
  return options;
}

lathe::Result<QuantizeReport> optimise_and_quantize(Graph& graph, const BuildOptions& o, Stages& stages) {
  PassOptions passes = passes_of(o);
  passes.weights = DType::kF32;  // they are still to be rounded, once
  LATHE_CHECK(optimize_unfused(graph, passes));
  if (!stages.start("calibrate")) return std::unexpected(interrupted());
  if (is_weight_only(o.precision))
    return code_weights_of(graph, o, math_of(o), [&](double done) { return stages.at(done); });
  return quantize_graph(graph, o, math_of(o), [&](double done) { return stages.at(done); });
}

/// Measures what the graph leaves open on those targets that run here; for the others the cost model decides. When the
/// caller asks to stop, the build goes on with what was found.
lathe::Status tune_graph(const Graph& graph, const std::vector<const Target*>& targets,
                         const codegen::LoweringOptions& options, const BuildOptions& o, const Stages& stages,
                         BuildReport& report, tune::Tuned& tuned) {
  LATHE_TRY(tune::TimingCache cache, tune::TimingCache::open());
  const tune::Effort effort = o.tune == "full" ? tune::Effort::kFull : tune::Effort::kFast;
  for (const Target* t : targets) {
    if (!runs_here(*t)) {
      report.tuning.skipped_targets.emplace_back(t->name);
      continue;
    }
    LATHE_TRY(const tune::TuneReport r,
              tune::tune(graph, *t, options, effort, cache, [&](double done) { return stages.at(done); }, tuned));
    report.tuning.decisions += r.decisions;
    report.tuning.known += r.known;
    report.tuning.measured += r.measured;
    report.tuning.changed += r.changed;
    report.tuning.complete &= r.complete;
    report.tuning.rejected.insert(report.tuning.rejected.end(), r.rejected.begin(), r.rejected.end());
    if (!r.complete) break;
  }
  return {};
}

/// What an engine is made of, with the memory that its weights point into.
struct Built {
  EngineContents contents;
  codegen::WeightPool weights;
  std::unique_ptr<Graph> graph;
};

lathe::Result<std::unique_ptr<Built>> make(const std::string& model, const BuildOptions& o, BuildReport& report,
                                           Stages& stages) {
  LATHE_CHECK(check_options(o));
  std::vector<const Target*> wanted;
  for (const std::string& name : o.targets.empty() ? std::vector<std::string>{"host"} : o.targets) {
    LATHE_TRY(const Target* t, find_target(name));
    if (std::find(wanted.begin(), wanted.end(), t) == wanted.end()) wanted.push_back(t);
  }
  auto built = std::make_unique<Built>();
  if (!stages.start("import")) return std::unexpected(interrupted());
  LATHE_TRY(built->graph, load_graph(model, o));
  if (!stages.start("optimise")) return std::unexpected(interrupted());
  if (quantizes(o) || is_weight_only(o.precision)) {
    LATHE_TRY(report.quantization, optimise_and_quantize(*built->graph, o, stages));
    if (!stages.start("optimise")) return std::unexpected(interrupted());
  }
  LATHE_CHECK(optimize(*built->graph, passes_of(o)));
  if (o.dump_graph) report.graph_text = print(*built->graph);
  codegen::LoweringOptions options;
  options.math = math_of(o);
  options.layout = *std::max_element(wanted.begin(), wanted.end(),
                                     [](const Target* a, const Target* b) { return a->vector_bits < b->vector_bits; });
  tune::Tuned tuned;
  if (o.tune != "none") {
    stages.start("tune");
    LATHE_CHECK(tune_graph(*built->graph, wanted, options, o, stages, report, tuned));
    options.chooser = &tuned;
  }
  if (!stages.start("generate")) return std::unexpected(interrupted());
  const int jobs = o.jobs > 0 ? o.jobs : usable_cpus();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double share = 1.0 / static_cast<double>(wanted.size());
    auto target = codegen::generate(*built->graph, *wanted[i], options, built->weights, jobs,
                                    [&](double done) { return stages.at(share * (static_cast<double>(i) + done)); });
    if (!target) return std::unexpected(target.error().code == Code::kInterrupted ? interrupted() : target.error());
    report.kernels += static_cast<int>(target->plan.kernels.size());
    report.instructions += static_cast<int>(target->plan.instrs.size());
    built->contents.targets.push_back(*std::move(target));
  }
  built->contents.weights = built->weights.blobs();
  for (const auto& w : built->contents.weights) report.weight_bytes += static_cast<int64_t>(w.size());
  built->contents.provenance = {{"lathe", kVersion},
                                {"math", o.math},
                                {"precision", o.precision},
                                {"tune", o.tune},
                                {"model", built->graph->name}};
  if (report.quantization) {
    built->contents.provenance.emplace_back("calibration", o.quantize.calibration.identity);
    built->contents.provenance.emplace_back("calibrator", report.quantization->calibrator);
  }
  if (!stages.start("write")) return std::unexpected(interrupted());
  return built;
}

}  // namespace

Result<BuildReport> build(const std::string& model, const std::string& engine, const BuildOptions& options) {
  BuildReport report;
  Stages stages(options, report);
  const auto built = make(model, options, report, stages);
  if (!built) return forward(built);
  const auto hash = write_engine(engine, (*built)->contents);
  if (!hash) return forward(hash);
  report.engine_hash = *hash;
  if (options.trust)
    if (const auto s = trust_engine(*hash); !s) return forward(s);
  std::ifstream file(engine, std::ios::binary | std::ios::ate);
  report.engine_bytes = static_cast<int64_t>(file.tellg());
  stages.at(1);
  stages.close();
  return report;
}

Result<std::vector<std::byte>> build_in_memory(const std::string& model, const BuildOptions& options,
                                               BuildReport* report_out) {
  BuildReport report;
  Stages stages(options, report);
  const auto built = make(model, options, report, stages);
  if (!built) return forward(built);
  auto bytes = serialize_engine((*built)->contents);
  if (!bytes) return forward(bytes);
  report.engine_bytes = static_cast<int64_t>(bytes->size());
  stages.at(1);
  stages.close();
  if (report_out) *report_out = std::move(report);
  return std::move(*bytes);
}

Result<int> export_timings(const std::string& path) {
  auto cache = tune::TimingCache::open();
  if (!cache) return forward(cache);
  const auto count = cache->export_json(path);
  if (!count) return forward(count);
  return *count;
}

Result<int> import_timings(const std::string& path) {
  auto cache = tune::TimingCache::open();
  if (!cache) return forward(cache);
  const auto count = cache->import_json(path);
  if (!count) return forward(count);
  return *count;
}

std::vector<TargetInfo> targets() {
  std::vector<TargetInfo> list;
  bool found_default = false;
  for (const Target& t : all_targets()) {
    TargetInfo i;
    i.name = t.name;
    i.arch = t.arch == Arch::kX86_64 ? "x86_64" : "aarch64";
    i.needs.assign(t.needs.begin(), t.needs.end());
    i.runs_here = lathe::runs_here(t);
    i.is_host_default = i.runs_here && !found_default;
    found_default |= i.runs_here;
    list.push_back(std::move(i));
  }
  return list;
}

namespace {

lathe::Status check_onnx_name(const std::string& output) {
  if (output.ends_with(".tflite"))
    return fail(Code::kUnsupported, output + ": quantized LiteRT models are not written yet; .onnx is");
  if (!output.ends_with(".onnx"))
    return fail(Code::kUsage, output + ": which format? The name of the output must end in .onnx");
  return {};
}

lathe::Result<ConvertReport> write_onnx(const Graph& graph, const std::string& output) {
  onnx::WriteOptions how;
  const std::string data = output + ".data";
  how.external_name = std::filesystem::path(data).filename().string();
  LATHE_TRY(const onnx::Model made, onnx::write(graph, how));
  if (!made.external.empty()) {
    const std::vector<std::byte> gap(4096);
    std::vector<std::span<const std::byte>> pieces;
    uint64_t at = 0;
    for (const auto& [offset, tensor] : made.external) {
      pieces.push_back(std::span(gap).first(offset - at));
      pieces.push_back(tensor.bytes());
      at = offset + tensor.bytes().size();
    }
    LATHE_CHECK(write_file_atomically(data, pieces));
  }
  const auto piece = std::as_bytes(std::span(made.proto));
  LATHE_CHECK(write_file_atomically(output, {&piece, 1}));
  return ConvertReport{static_cast<int64_t>(made.nodes), static_cast<int64_t>(made.proto.size()),
                       static_cast<int64_t>(made.external_bytes)};
}

lathe::Result<ConvertReport> write_tflite(const Graph& graph, const std::string& output) {
  LATHE_TRY(const tflite::Written made, tflite::write(graph));
  const std::span<const std::byte> piece(made.file);
  LATHE_CHECK(write_file_atomically(output, {&piece, 1}));
  return ConvertReport{static_cast<int64_t>(made.nodes), static_cast<int64_t>(made.file.size()), 0};
}

lathe::Status check_convertible_name(const std::string& output) {
  if (output.ends_with(".onnx")) return {};
  return fail(Code::kUsage, output + ": which format? The name of the output must end in .onnx or .tflite");
}

}  // namespace

Result<ConvertReport> convert(const std::string& model, const std::string& output, const BuildOptions& options) {
  const auto run = [&]() -> lathe::Result<ConvertReport> {
    const bool litert = output.ends_with(".tflite");
    if (!litert) LATHE_CHECK(check_convertible_name(output));
    LATHE_TRY(const auto graph, load_graph(model, options));
    LATHE_CHECK(optimize_unfused(*graph, passes_of(options)));
    return litert ? write_tflite(*graph, output) : write_onnx(*graph, output);
  };
  const auto report = run();
  if (!report) return forward(report);
  return *report;
}

Result<QuantizedModel> quantize(const std::string& model, const std::string& output, const BuildOptions& options) {
  const auto run = [&]() -> lathe::Result<QuantizedModel> {
    LATHE_CHECK(check_onnx_name(output));
    LATHE_CHECK(check_options(options));
    if (!quantizes(options))
      return fail(Code::kUsage, "precision " + options.precision + " quantizes nothing: choose int8 or mixed");
    BuildReport times;
    Stages stages(options, times);
    if (!stages.start("import")) return std::unexpected(interrupted());
    LATHE_TRY(const auto graph, load_graph(model, options));
    QuantizedModel made;
    LATHE_TRY(made.quantization, optimise_and_quantize(*graph, options, stages));
    if (!stages.start("write")) return std::unexpected(interrupted());
    LATHE_TRY(made.file, write_onnx(*graph, output));
    return made;
  };
  auto made = run();
  if (!made) return forward(made);
  return *std::move(made);
}

Result<std::string> graph_text(const std::string& model, const BuildOptions& options, bool optimised) {
  auto graph = load_graph(model, options);
  if (!graph) return forward(graph);
  if (optimised)
    if (const auto s = optimize(**graph, passes_of(options)); !s) return forward(s);
  return print(**graph);
}

}  // namespace lathe::compiler
