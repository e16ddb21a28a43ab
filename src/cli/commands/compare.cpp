// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/open.h"
#include "cli/python.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string model, html, npz;
  std::vector<std::string> against;
  int threads = 1;
  double seconds = 5;
  BuildFlags build;
};

/// The other runtimes have Python interfaces, so the measuring is Python's: every runtime, lathe too, in a process of
/// its own with the same loop.
Status compare(const Options& o, const Output& out) {
  if (is_engine_file(o.model))
    return fail(Code::kUsage,
                o.model + " is an engine; compare expects the model, which the other runtimes can read too");
  LATHE_TRY(const Python python, python_with_lathe());
  LATHE_TRY(const Opened opened, open_engine_or_model(o.model, o.build, {}, out));
  std::vector<std::string> args = {o.model,
                                   "--engine",
                                   opened.path,
                                   "--threads",
                                   std::to_string(o.threads),
                                   "--seconds",
                                   fmt::format("{}", o.seconds)};
  std::error_code unknown;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) args.insert(args.end(), {"--program", self.string()});
  if (!o.against.empty()) args.insert(args.end(), {"--against", fmt::format("{}", fmt::join(o.against, ","))});
  if (!o.html.empty()) args.insert(args.end(), {"--html", o.html});
  if (!o.npz.empty()) args.insert(args.end(), {"--inputs", o.npz});
  for (const std::string& shape : o.build.shape) args.insert(args.end(), {"--shape", shape});
  if (out.json) args.emplace_back("--json");
  if (out.quiet) args.emplace_back("--quiet");
  return become_python(python, "lathe.compare", args);
}

}  // namespace

void add_compare(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("compare", "Measure a model here against other runtimes, in turns",
                               "lathe compare model.onnx --against onnxruntime,openvino --threads 2",
                               [o](const Output& out) { return compare(*o, out); });
  app.add_option("MODEL", o->model, "The model's file")->required();
  app.add_option("--against", o->against,
                 "Which runtimes; default: all installed ones that read the model or for which it is converted")
      ->type_name("NAME[,NAME…]")
      ->delimiter(',')
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("-t,--threads", o->threads, "Threads; 0: all CPUs")->check(CLI::Range(0, 256))->capture_default_str();
  app.add_option("-s,--seconds", o->seconds, "How long to measure each runtime")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--inputs", o->npz, "npz file with an array for each input; default: made up, always the same");
  app.add_option("--html", o->html, "Write a page with charts: latency, memory, kernels, roofline");
  o->build.add_to(app);
}

}  // namespace lathe::cli
