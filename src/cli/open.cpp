// SPDX-License-Identifier: Apache-2.0
#include "cli/open.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>

#include "base/mapped_file.h"
#include "cli/compiler_library.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "engine/layout.h"
#include "runtime/operators.h"

namespace lathe::cli {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Status fill_shapes(const std::vector<std::string>& texts, const char* option, std::map<std::string, std::string>& out) {
  for (const std::string& text : texts) {
    LATHE_TRY(auto pair, split_assignment(text, option));
    if (!out.emplace(pair).second)
      return fail(Code::kUsage, std::string(option) + " is given twice for \"" + pair.first + '"');
  }
  return {};
}

Result<Opened> open_engine(const std::string& path, const EngineOptions& options) {
  Opened opened;
  opened.path = path;
  const auto begin = std::chrono::steady_clock::now();
  LATHE_TRY(opened.engine, Engine::open(path, options));
  opened.load_seconds = seconds_since(begin);
  return opened;
}

Result<compiler::CachedEngine> build_cached(const std::string& model, const compiler::BuildOptions& options,
                                            bool rebuild, const Output& out) {
  LATHE_TRY(const compiler::Table* table, compiler_library());
  compiler::CachedEngine cached;
  LATHE_CHECK(with_progress(options, out, [&](const compiler::BuildOptions& with_bar) -> Status {
    auto result = table->cached_engine(model, with_bar, rebuild);
    if (!result) return std::unexpected(as_error(result.error()));
    cached = *std::move(result);
    return {};
  }));
  return cached;
}

}  // namespace

void BuildFlags::add_to(CLI::App& app) {
  const std::string group = "Build options";
  const auto list = [&](const char* name, std::vector<std::string>& to, const char* help) {
    given.push_back(app.add_option(name, to, help)
                        ->type_name("NAME=DIMS")
                        ->expected(1)
                        ->allow_extra_args(false)
                        ->take_all()
                        ->group(group));
  };
  given.push_back(app.add_option("--target", options.targets, "Targets to make code for (`lathe targets`)")
                      ->type_name("NAME[,NAME…]")
                      ->delimiter(',')
                      ->expected(1)
                      ->allow_extra_args(false)
                      ->take_all()
                      ->group(group));
  given.push_back(app.add_option("--precision", options.precision, "What weights and arithmetic may be")
                      ->check(CLI::IsMember({"fp32", "bf16", "fp16", "int8", "mixed", "w8", "w4", "wfp8", "wfp4"}))
                      ->capture_default_str()
                      ->group(group));
  given.push_back(app.add_option("--math", options.math, "How far results may be from the model's")
                      ->check(CLI::IsMember({"strict", "default", "fast"}))
                      ->capture_default_str()
                      ->group(group));
  given.push_back(app.add_option("--tune", options.tune, "Time tactics on this machine")
                      ->check(CLI::IsMember({"none", "fast", "full"}))
                      ->capture_default_str()
                      ->group(group));
  list("--shape", shape, "An input's shape, e.g. x=1x3x224x224; a name stays symbolic: x=batchx3x224x224");
  list("--value", value, "A value to fix an input to, e.g. rate=16000; the engine does not have the input then (ONNX)");
  list("--min-shape", min_shape, "Smallest shape of an input");
  list("--opt-shape", opt_shape, "Shape to optimise for");
  list("--max-shape", max_shape, "Largest shape of an input");
  given.push_back(app.add_option("--signature", options.signature,
                                 "Which entry point of a model that has several (SavedModel, TFLite)")
                      ->type_name("NAME")
                      ->group(group));
  given.push_back(
      app.add_flag("--strict", options.strict, "Fail instead of falling back to anything slower or less precise")
          ->group(group));
  given.push_back(app.add_option("--memory-limit", options.memory_limit, "Most memory a model may ask for, e.g. 512MB")
                      ->type_name("BYTES")
                      ->transform(CLI::AsSizeValue(false))
                      ->group(group));
  given.push_back(app.add_option("-j,--jobs", options.jobs, "Build threads; 0: all CPUs")
                      ->check(CLI::NonNegativeNumber)
                      ->group(group));
  // Not one of `given`: an engine needs its operators too.
  app.add_option("--ops", operators, "A library of custom operators (docs/custom-operators.md)")
      ->type_name("LIB.so")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all()
      ->group(group);
  calibration.add_to(app, options.quantize, given);
}

Status BuildFlags::load_operators(std::vector<const lathe_operator*>& out) const {
  for (const std::string& library : operators) {
    std::error_code error;
    if (!std::filesystem::exists(library, error)) return fail(Code::kUsage, "--ops " + library + ": no such file");
    // dlopen looks for a name without a slash among the system's libraries; here it is a file.
    LATHE_TRY(const auto found, lathe::load_operators(library.contains('/') ? library : "./" + library));
    out.insert(out.end(), found.begin(), found.end());
  }
  return {};
}

Result<compiler::BuildOptions> BuildFlags::parsed() const {
  compiler::BuildOptions o = options;
  LATHE_CHECK(fill_shapes(shape, "--shape", o.shapes));
  LATHE_CHECK(fill_shapes(value, "--value", o.values));
  LATHE_CHECK(fill_shapes(min_shape, "--min-shape", o.min_shapes));
  LATHE_CHECK(fill_shapes(opt_shape, "--opt-shape", o.opt_shapes));
  LATHE_CHECK(fill_shapes(max_shape, "--max-shape", o.max_shapes));
  LATHE_CHECK(load_operators(o.operators));
  LATHE_CHECK(calibration.fill(o.quantize));
  return o;
}

Json tuning_json(const compiler::TuningReport& t) {
  return {{"decisions", t.decisions}, {"known", t.known},       {"measured", t.measured},
          {"changed", t.changed},     {"complete", t.complete}, {"skipped_targets", t.skipped_targets},
          {"rejected", t.rejected}};
}

void print_tuning(const compiler::TuningReport& t, const Output& out) {
  out.line("tuning: {} decisions, {} known, {} measured, of these {} against the cost model{}", t.decisions, t.known,
           t.measured, t.changed, t.complete ? "" : "; stopped early, what was found is kept");
  for (const std::string& target : t.skipped_targets)
    out.note(fmt::format("{} does not run here: its tactics are the cost model's", target));
  for (const std::string& way : t.rejected)
    out.note(fmt::format("{} computed something else and was left out; please report it", way));
}

Result<std::pair<std::string, std::string>> split_assignment(const std::string& text, const char* option) {
  const size_t at = text.rfind('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size())
    return fail(Code::kUsage, std::string(option) + " expects NAME=VALUE, got \"" + text + '"');
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

bool is_engine_file(const std::string& path) {
  if (path.ends_with(".lathe")) return true;
  const auto file = File::open(path);
  std::array<std::byte, layout::kMagic.size()> start{};
  return file && file->size() >= start.size() && file->read(0, start) &&
         std::ranges::equal(start, std::as_bytes(std::span(layout::kMagic)));
}

Status with_progress(compiler::BuildOptions options, const Output& out,
                     const std::function<Status(const compiler::BuildOptions&)>& work) {
  const InterruptGuard guard;
  ProgressBar bar(out);
  options.progress = [&bar](const char* stage, double done) {
    bar.update(stage, done);
    // While tuning, the first Ctrl-C ends the measuring and the build goes on; the next one ends the build.
    return std::string_view(stage) == "tune" ? !take_interrupt() : !interrupted();
  };
  Status status = work(options);
  if (!status && interrupted()) return fail(Code::kInterrupted, "interrupted; nothing was written");
  return status;
}

Result<Opened> open_engine_or_model(const std::string& path, const BuildFlags& build, const EngineOptions& options,
                                    const Output& out) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return fail(Code::kUsage, errno_message(path, "cannot open"));
  if (is_engine_file(path)) {
    for (const CLI::Option* option : build.given)
      if (option->count() > 0 && option->get_name() != "--shape")
        return fail(Code::kUsage, path + " is an engine, built already: " + option->get_name() + " has no effect");
    std::vector<const lathe_operator*> loaded;
    LATHE_CHECK(build.load_operators(loaded));
    return open_engine(path, options);
  }
  LATHE_TRY(const compiler::BuildOptions wanted, build.parsed());
  const auto begin = std::chrono::steady_clock::now();
  LATHE_TRY(auto cached, build_cached(path, wanted, false, out));
  auto opened = open_engine(cached.path, options);
  if (!opened && !cached.built && opened.error().code != Code::kFailed) {
    // The cached file was damaged, or this user's allow-list no longer has it.
    LATHE_TRY(cached, build_cached(path, wanted, true, out));
    opened = open_engine(cached.path, options);
  }
  if (!opened) return opened;
  opened->from_model = true;
  if (cached.built) opened->build_seconds = seconds_since(begin) - opened->load_seconds;
  out.detail((cached.built ? "built into " : "cached in ") + cached.path);
  return opened;
}

}  // namespace lathe::cli
