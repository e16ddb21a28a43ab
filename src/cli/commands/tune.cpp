// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/open.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string what, file;
  BuildFlags build;
};

Status transfer(const Options& o, const Output& out) {
  if (o.file.empty()) return fail(Code::kUsage, "lathe tune " + o.what + " FILE: the file is missing");
  LATHE_TRY(const compiler::Table* table, compiler_library());
  const bool out_of = o.what == "export";
  const auto count = out_of ? table->export_timings(o.file) : table->import_timings(o.file);
  if (!count) return std::unexpected(as_error(count.error()));
  out.line("{}: {} timings {}", o.file, *count, out_of ? "written" : "added");
  out.document({{"file", o.file}, {"timings", *count}});
  return {};
}

Status tune_model(const Options& o, const Output& out) {
  if (!o.file.empty()) return fail(Code::kUsage, "\"" + o.file + "\" is one argument too many: lathe tune MODEL");
  std::error_code error;
  if (!std::filesystem::exists(o.what, error)) return fail(Code::kUsage, o.what + ": no such file");
  if (is_engine_file(o.what)) return fail(Code::kUsage, o.what + " is an engine; tuning works on models");
  LATHE_TRY(compiler::BuildOptions options, o.build.parsed());
  if (options.tune == "none") options.tune = "fast";
  LATHE_TRY(const compiler::Table* table, compiler_library());
  compiler::BuildReport report;
  LATHE_CHECK(with_progress(options, out, [&](const compiler::BuildOptions& with_bar) -> Status {
    auto result = table->cached_engine(o.what, with_bar, true);
    if (!result) return std::unexpected(as_error(result.error()));
    report = std::move(result->report);
    return {};
  }));
  print_tuning(report.tuning, out);
  out.document({{"model", o.what}, {"tuning", tuning_json(report.tuning)}});
  return {};
}

}  // namespace

void add_tune(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app =
      commands.add("tune", "Time a model's tactics on this machine, for later builds with --tune",
                   "lathe tune model.onnx && lathe build model.onnx --tune fast\n"
                   "  lathe tune export timings.json        # and on another machine of the same kind:\n"
                   "  lathe tune import timings.json",
                   [o](const Output& out) {
                     return o->what == "export" || o->what == "import" ? transfer(*o, out) : tune_model(*o, out);
                   });
  app.add_option("MODEL", o->what, "The model's file; or export or import, and a file")->required();
  app.add_option("FILE", o->file, "JSON file of timings to write or to add");
  o->build.add_to(app);
}

}  // namespace lathe::cli
