// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/open.h"
#include "compiler/quantization_json.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string model, engine;
  BuildFlags build;
};

/// model.onnx → model.lathe, beside where the command runs.
std::string default_engine(const std::string& model) {
  auto path = std::filesystem::path(model).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // a folder, written with a slash
  return path.filename().replace_extension(".lathe").string();
}

Status build(const Options& o, const Output& out) {
  const std::string engine = o.engine.empty() ? default_engine(o.model) : o.engine;
  std::error_code error;
  if (!std::filesystem::exists(o.model, error)) return fail(Code::kUsage, o.model + ": no such file");
  if (std::filesystem::equivalent(o.model, engine, error))
    return fail(Code::kUsage, engine + ": the engine would replace the model; choose another name with -o");
  if (is_engine_file(o.model))
    return fail(Code::kUsage, o.model + " is an engine, built already; build expects a model");
  LATHE_TRY(const compiler::BuildOptions options, o.build.parsed());
  if (!o.build.calibration.paths.empty() && (options.precision.starts_with("fp") || options.precision == "bf16"))
    return fail(Code::kUsage, "--calibrate is for --precision int8 or mixed and for w4 … wfp8; " + options.precision +
                                  " needs no ranges");
  LATHE_TRY(const compiler::Table* table, compiler_library());
  compiler::BuildReport report;
  LATHE_CHECK(with_progress(options, out, [&](const compiler::BuildOptions& with_bar) -> Status {
    auto result = table->build(o.model, engine, with_bar);
    if (!result) return std::unexpected(as_error(result.error()));
    report = *std::move(result);
    return {};
  }));

  if (report.quantization) print_quantization(*report.quantization, out);
  if (options.tune != "none") print_tuning(report.tuning, out);
  double total = 0;
  Json seconds = Json::object();
  for (const auto& [stage, s] : report.seconds) {
    seconds[stage] = s;
    total += s;
    out.detail(fmt::format("{}: {}", stage, human_seconds(s)));
  }
  out.line("{}: {} in {}, {} kernels", engine, human_bytes(static_cast<double>(report.engine_bytes)),
           human_seconds(total), report.kernels);
  Json document = {{"model", o.model},
                   {"engine", engine},
                   {"engine_hash", report.engine_hash},
                   {"engine_bytes", report.engine_bytes},
                   {"weight_bytes", report.weight_bytes},
                   {"kernels", report.kernels},
                   {"instructions", report.instructions},
                   {"seconds", seconds}};
  if (options.tune != "none") document["tuning"] = tuning_json(report.tuning);
  if (report.quantization) document["quantization"] = compiler::quantization_json(*report.quantization);
  out.document(document);
  return {};
}

}  // namespace

void add_build(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("build", "Build an engine from a model",
                               "lathe build model.onnx -o model.lathe --shape input=1x3x224x224",
                               [o](const Output& out) { return build(*o, out); });
  app.add_option("MODEL", o->model, "The model's file, or a SavedModel's folder")->required();
  app.add_option("-o,--output", o->engine, "The engine to write; default: the model's name with .lathe, here");
  app.add_flag("--trust,!--no-trust", o->build.options.trust,
               "Put the engine on this user's list of those whose code may run (the default)");
  o->build.add_to(app);
}

}  // namespace lathe::cli
