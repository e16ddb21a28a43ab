// SPDX-License-Identifier: Apache-2.0
// The build-time API: model file in, engine file out. In liblathe_compiler.so, which needs LLVM; programs that only run
// engines use lathe.h or lathe.hpp and never load it.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct lathe_operator;  // lathe.h

namespace lathe::compiler {

struct Failure {
  int code = 1;         ///< exit code of the command line (DESIGN section 9): 2 usage, 3 unsupported, 4 damaged, …
  std::string message;  ///< where, what, why, what to do
};
template <class T>
using Result = std::expected<T, Failure>;

/// An array of a calibration set: for an input as it is, several of them one after another along the first dimension,
/// or (image) a picture of any size that is fitted to the input.
struct CalibrationArray {
  std::string input;          ///< which input; empty where the model has one
  int dtype = 0;              ///< lathe_dtype of lathe.h
  std::vector<int64_t> dims;  ///< of an image: height, width, channels (1 or 3: red, green, blue)
  std::vector<std::byte> data;
  bool image = false;  ///< of LATHE_U8
};

/// From a picture to an input of [n, channels, height, width] or [n, height, width, channels], floats or u8:
/// (pixel * scale - mean) / deviation.
struct ImageOptions {
  std::string fit = "stretch";  ///< stretch | crop (the middle) | letterbox (grey bars)
  bool bgr = false;             ///< blue comes first
  double scale = 1.0 / 255;
  std::vector<double> mean = {0}, deviation = {1};  ///< one for all channels, or one each
};

/// Inputs that stand for those the model will see; no labels.
struct CalibrationSet {
  std::vector<std::string> names;  ///< of the batches, for messages: usually files
  /// Arrays of a batch, one or more for each input. Called once for each, in order.
  std::function<Result<std::vector<CalibrationArray>>(size_t batch)> load;
  std::string identity;  ///< differs between sets: a hash of what they hold
  ImageOptions images;
  int limit = 512;  ///< samples that are used, spread over the set
};

/// How `--precision int8`, `mixed` and the weight-only ones are reached.
struct QuantizeOptions {
  CalibrationSet calibration;
  std::string calibrator = "auto";  ///< minmax | percentile | entropy | mse | auto: the one measured best
  double percentile = 99.99;
  std::string activations = "u8";  ///< u8, with a zero point | i8, symmetric
  bool correct_bias = true;
  double max_loss = 0.5;  ///< of mixed and of 4-bit weights, in percent: 100 * (1 - cosine) of the outputs
  /// Of weight-only precisions: weights of a column that share a scale (0: all of them), and whether integers have zero
  /// points. Default: as the precision has it.
  std::optional<int64_t> weight_block;
  std::optional<bool> weight_zeros;
  std::vector<std::string> keep_float;  ///< names of layers; one that ends in * stands for all that begin so
};

/// `lathe build`'s options. Default-constructed: for this machine, FP32, default math, no tuning.
struct BuildOptions {
  std::vector<std::string> targets;  ///< names of `lathe targets`; empty: the host's best level
  std::string math = "default";      ///< strict | default | fast
  /// fp32 | fp16 | bf16 (weights of products and convolutions are stored so, sums are f32) | int8 | mixed |
  /// w8 | w4 | wfp8 | wfp4 (weights of products in so many bits, activations and sums in f32)
  std::string precision = "fp32";
  QuantizeOptions quantize;
  /// none: the cost model decides; fast, full: what it leaves open is timed on this machine, and remembered in the
  /// timing cache ($XDG_CACHE_HOME/lathe/timings.sqlite).
  std::string tune = "none";
  std::map<std::string, std::string> shapes;  ///< input → "1x3x224x224"; symbolic parts by name: "batchx3x224x224"
  /// input → "3", "true", "1,2" (a vector; of one element: "1,"): the input is fixed to that value, and the engine has
  /// it no more. So how many tensors a sequence holds, or which branch is taken, is known when the engine is built.
  std::map<std::string, std::string> values;
  std::map<std::string, std::string> min_shapes, opt_shapes, max_shapes;
  /// Operators that lathe does not know, by domain and name: the model's nodes that ask for one of them become calls of
  /// what the program registers under that name when the engine runs. They (with what they point to) must stay valid
  /// until the build is over. An operator that the model itself defines as a function is replaced by one given here.
  std::vector<const lathe_operator*> operators;
  std::string signature;     ///< entry point of a model with several (SavedModel, TFLite); empty: its default
  int jobs = 0;              ///< build threads; 0: all cores this process may use
  bool strict = false;       ///< fail instead of falling back to anything slower or less precise
  int64_t memory_limit = 0;  ///< bytes; 0: the default limit against hostile models
  bool dump_graph = false;   ///< keep the optimised graph's text in the report
  bool trust = true;         ///< put the engine on this user's allow-list
  /// Called from the building thread with a stage ("import", "optimise", "calibrate", "tune", "generate", "write") and
  /// 0…1 in it; return false to stop (exit code 130; while tuning: to build with what was found so far).
  std::function<bool(const char* stage, double done)> progress;
};

/// What `--tune` did.
struct TuningReport {
  int decisions = 0;                         ///< that the model leaves open
  int known = 0;                             ///< of these, taken from the timing cache
  int measured = 0;                          ///< timed in this build
  int changed = 0;                           ///< of those, decided otherwise than the cost model would
  bool complete = true;                      ///< false: stopped by the caller or by the limit of time
  std::vector<std::string> skipped_targets;  ///< that do not run here
  std::vector<std::string> rejected;         ///< ways whose results were wrong: node and tactic
};

/// What became of the layers of a model that was quantized, and what it cost, measured on samples that neither ranges
/// nor choices were made from (where there are at least five).
struct QuantizeReport {
  struct Layer {
    std::string name, op;
    std::string precision;  ///< int8 | fp32; of weight-only precisions w4 … | fp16
    std::string why;        ///< of fp32
    double snr_db = 0;      ///< of its result against that of the float network, errors from before it included; of
                            ///< weight-only precisions: of its weights
    double cosine = 1;
    double alone_snr_db = 0;          ///< mixed: of the network's outputs if this layer alone is quantized
    double fp32_ms = 0, int8_ms = 0;  ///< mixed with tuning: measured on this machine, one thread
    double flops = 0;
  };
  struct Output {
    std::string name;
    double snr_db = 0, cosine = 1, max_abs_diff = 0;
  };
  std::vector<Layer> layers;
  std::vector<Output> outputs;
  std::vector<std::pair<std::string, double>> tried;  ///< calibrator → mean SNR of the outputs in dB
  std::string calibrator;                             ///< of weights: nearest | gptq
  int calibration_samples = 0, search_samples = 0, evaluation_samples = 0;
  bool disjoint = true;  ///< false: too few samples to keep some apart
  double loss = 0;       ///< 100 * (1 - cosine) of the worst output
  std::vector<std::string> warnings;
};

struct BuildReport {
  std::string engine_hash;
  std::string graph_text;                               ///< with dump_graph
  std::vector<std::pair<std::string, double>> seconds;  ///< per stage
  int64_t engine_bytes = 0, weight_bytes = 0;
  int kernels = 0, instructions = 0;
  TuningReport tuning;
  std::optional<QuantizeReport> quantization;  ///< of all precisions but fp32, fp16 and bf16
};

/// Builds `model` (ONNX, TFLite; a SavedModel's folder or a frozen GraphDef of TensorFlow) into `engine`, which is
/// written beside, synced and renamed: after an error the old file is as it was.
Result<BuildReport> build(const std::string& model, const std::string& engine, const BuildOptions& options);
/// As build, into memory.
Result<std::vector<std::byte>> build_in_memory(const std::string& model, const BuildOptions& options,
                                               BuildReport* report);

/// Writes the timing cache of this user as JSON, for other machines of the same kind; how many records. `lathe tune
/// export`.
Result<int> export_timings(const std::string& path);
/// Adds what export_timings wrote; an equal key's record is replaced.
Result<int> import_timings(const std::string& path);

struct TargetInfo {
  std::string name, arch;
  std::vector<std::string> needs;
  bool runs_here = false, is_host_default = false;
};
std::vector<TargetInfo> targets();

struct ConvertReport {
  int64_t nodes = 0, bytes = 0;
  int64_t external_bytes = 0;  ///< of the weights' own file, OUTPUT.data; 0: there is none
};
/// Writes the model, optimised but not fused, as `output`: ONNX of opset 21 or a LiteRT model in f32
/// with constant shapes, as its name ends in .onnx or .tflite. Weights of
/// more than 1.9 GB go to a file beside it.
Result<ConvertReport> convert(const std::string& model, const std::string& output, const BuildOptions& options);

struct QuantizedModel {
  ConvertReport file;
  QuantizeReport quantization;
};
/// Quantizes the model as options.precision (int8 or mixed) says and writes it as ONNX of opset 21 in QDQ form:
/// QuantizeLinear and DequantizeLinear around float operators, as other runtimes read it.
Result<QuantizedModel> quantize(const std::string& model, const std::string& output, const BuildOptions& options);

/// The model's graph as text: as imported, or after the passes.
Result<std::string> graph_text(const std::string& model, const BuildOptions& options, bool optimised);

}  // namespace lathe::compiler
