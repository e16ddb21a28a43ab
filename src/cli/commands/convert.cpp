// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/open.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string model, output;
  BuildFlags build;
};

Status convert(const Options& o, const Output& out) {
  std::error_code error;
  if (!std::filesystem::exists(o.model, error)) return fail(Code::kUsage, o.model + ": no such file");
  if (std::filesystem::equivalent(o.model, o.output, error))
    return fail(Code::kUsage, o.output + ": the output would replace the model; choose another name with -o");
  if (is_engine_file(o.model))
    return fail(Code::kUsage, o.model + " is an engine, which cannot be turned back; convert expects a model");
  LATHE_TRY(const compiler::BuildOptions options, o.build.parsed());
  LATHE_TRY(const compiler::Table* table, compiler_library());
  const auto report = table->convert(o.model, o.output, options);
  if (!report) return std::unexpected(as_error(report.error()));
  out.line("{}: {}, {} nodes", o.output, human_bytes(static_cast<double>(report->bytes + report->external_bytes)),
           report->nodes);
  out.document({{"model", o.model},
                {"output", o.output},
                {"nodes", report->nodes},
                {"bytes", report->bytes},
                {"external_bytes", report->external_bytes}});
  return {};
}

}  // namespace

void add_convert(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("convert", "Write a model, optimised, as a standard ONNX or LiteRT file",
                               "lathe convert saved_model/ -o model.onnx --shape input_1=1x224x224x3",
                               [o](const Output& out) { return convert(*o, out); });
  app.add_option("MODEL", o->model, "The model's file, or a SavedModel's folder")->required();
  app.add_option("-o,--output", o->output, "The file to write; its name ends in .onnx or .tflite")->required();
  o->build.add_to(app);
}

}  // namespace lathe::cli
