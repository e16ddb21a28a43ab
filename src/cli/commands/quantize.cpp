// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/open.h"
#include "compiler/quantization_json.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string model, output;
  BuildFlags build;
};

Status quantize(const Options& o, const Output& out) {
  std::error_code error;
  if (!std::filesystem::exists(o.model, error)) return fail(Code::kUsage, o.model + ": no such file");
  if (std::filesystem::equivalent(o.model, o.output, error))
    return fail(Code::kUsage, o.output + ": the output would replace the model; choose another name with -o");
  if (is_engine_file(o.model))
    return fail(Code::kUsage, o.model + " is an engine, which cannot be turned back; quantize expects a model");
  LATHE_TRY(compiler::BuildOptions options, o.build.parsed());
  if (options.precision == "fp32") options.precision = "int8";
  LATHE_TRY(const compiler::Table* table, compiler_library());
  compiler::QuantizedModel made;
  LATHE_CHECK(with_progress(options, out, [&](const compiler::BuildOptions& with_bar) -> Status {
    auto result = table->quantize(o.model, o.output, with_bar);
    if (!result) return std::unexpected(as_error(result.error()));
    made = *std::move(result);
    return {};
  }));
  print_quantization(made.quantization, out);
  out.line("{}: {}, {} nodes", o.output, human_bytes(static_cast<double>(made.file.bytes + made.file.external_bytes)),
           made.file.nodes);
  out.document({{"model", o.model},
                {"output", o.output},
                {"nodes", made.file.nodes},
                {"bytes", made.file.bytes},
                {"external_bytes", made.file.external_bytes},
                {"quantization", compiler::quantization_json(made.quantization)}});
  return {};
}

}  // namespace

void add_quantize(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("quantize", "Quantize a model by a calibration set and write it as ONNX in QDQ form",
                               "lathe quantize model.onnx -o model.qdq.onnx --calibrate samples.npz",
                               [o](const Output& out) { return quantize(*o, out); });
  app.add_option("MODEL", o->model, "The model's file, or a SavedModel's folder")->required();
  app.add_option("-o,--output", o->output, "The file to write; its name ends in .onnx")->required();
  o->build.add_to(app);
}

}  // namespace lathe::cli
