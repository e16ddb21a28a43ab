// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/open.h"
#include "cli/python.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string model, npz, output, against = "onnxruntime";
  double tolerance = 1e-3;
};

/// Models are cut with the onnx package, and each piece is tried in a process of its own: so the search is Python's.
Status reduce(const Options& o, const Output& out) {
  if (is_engine_file(o.model)) return fail(Code::kUsage, o.model + " is an engine; reduce expects a model");
  std::error_code error;
  if (!std::filesystem::is_regular_file(o.model, error)) return fail(Code::kUsage, o.model + ": no such file");
  LATHE_TRY(const Python python, python_with_lathe());
  std::vector<std::string> args = {o.model, "--against", o.against, "--tolerance", fmt::format("{}", o.tolerance)};
  if (!o.npz.empty()) args.insert(args.end(), {"--inputs", o.npz});
  if (!o.output.empty()) args.insert(args.end(), {"--output", o.output});
  if (out.json) args.emplace_back("--json");
  if (out.quiet) args.emplace_back("--quiet");
  return become_python(python, "lathe.reduce", args);
}

}  // namespace

void add_reduce(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app =
      commands.add("reduce", "Shrink a model that fails or diverges to the smallest that still does",
                   "lathe reduce model.onnx -o small.onnx", [o](const Output& out) { return reduce(*o, out); });
  app.add_option("MODEL", o->model, "The model's file")->required();
  app.add_option("-o,--output", o->output,
                 "The smaller model; default: MODEL with .reduced.onnx, inputs in an npz beside");
  app.add_option("--against", o->against, "onnxruntime, or reference: ONNX's own evaluation in Python")
      ->check(CLI::IsMember({"onnxruntime", "reference"}))
      ->capture_default_str();
  app.add_option("--tolerance", o->tolerance, "Largest difference, relative to the largest element of an output")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--inputs", o->npz, "npz file with an array for each input; default: made up, always the same");
}

}  // namespace lathe::cli
