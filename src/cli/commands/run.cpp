// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "cli/command.h"
#include "cli/open.h"
#include "cli/session_io.h"

namespace lathe::cli {
namespace {

struct Options {
  std::string path, npz, outputs;
  std::vector<std::string> files;
  int threads = 0;
  bool trust = false;
  BuildFlags build;
};

/// Lowest, highest and mean value over the numbers that are finite; null when there are none.
Json describe(const NamedTensor& named) {
  const Tensor& t = named.tensor;
  double low = HUGE_VAL, high = -HUGE_VAL, sum = 0;
  size_t finite = 0;
  const size_t count = element_count(t);
  for (size_t i = 0; i < count; ++i) {
    const double v = element(t, i);
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
    sum += v;
    ++finite;
  }
  Json out = {{"name", named.name}, {"dtype", numpy_name(t.dtype)}, {"shape", t.dims}};
  out["min"] = finite ? Json(low) : Json();
  out["max"] = finite ? Json(high) : Json();
  out["mean"] = finite ? Json(sum / static_cast<double>(finite)) : Json();
  out["not_finite"] = count - finite;
  constexpr size_t kFew = 16;
  if (count <= kFew) {
    out["values"] = Json::array();
    for (size_t i = 0; i < count; ++i) {
      const double v = element(t, i);
      out["values"].push_back(std::isfinite(v) ? Json(v) : Json());
    }
  }
  return out;
}

std::string number(const Json& value) { return value.is_null() ? "-" : fmt::format("{:.6g}", value.get<double>()); }

Status run(const Options& o, const Output& out) {
  EngineOptions engine;
  engine.trust = o.trust;
  LATHE_TRY(const Opened opened, open_engine_or_model(o.path, o.build, engine, out));
  LATHE_TRY(const auto session, Session::create(opened.engine, {.threads = o.threads}));
  LATHE_TRY(const auto inputs, read_inputs(opened.engine->plan(), o.npz, o.files));
  LATHE_CHECK(bind_inputs(*session, inputs));
  const auto begin = std::chrono::steady_clock::now();
  LATHE_CHECK(session->run());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  LATHE_TRY(const auto outputs, read_outputs(*session));
  if (!o.outputs.empty()) LATHE_CHECK(write_npz(o.outputs, outputs));

  Json described = Json::array();
  Table table({"output", "dtype", "shape", ">min", ">max", ">mean"});
  for (const NamedTensor& named : outputs) {
    described.push_back(describe(named));
    const Json& d = described.back();
    table.add({named.name, d["dtype"].get<std::string>(), shape_text(named.tensor.dims), number(d["min"]),
               number(d["max"]), number(d["mean"])});
  }
  out.text(table.text());
  out.line("{} with {} thread{}{}", human_seconds(seconds), session->threads(), session->threads() == 1 ? "" : "s",
           o.outputs.empty() ? "" : "; outputs in " + o.outputs);
  out.document({{"engine", opened.path},
                {"threads", session->threads()},
                {"ms", seconds * 1e3},
                {"outputs_file", o.outputs.empty() ? Json() : Json(o.outputs)},
                {"outputs", described}});
  return {};
}

}  // namespace

void add_run(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app = commands.add("run", "Run an engine or a model once",
                               "lathe run model.lathe --inputs in.npz --outputs out.npz --threads 2",
                               [o](const Output& out) { return run(*o, out); });
  app.add_option("ENGINE", o->path, "An engine, or a model, which is built first and cached")->required();
  app.add_option("--inputs", o->npz, "npz file with an array for each input, by name");
  app.add_option("--input", o->files, "One input from an npy file, or from raw bytes")
      ->type_name("NAME=FILE")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--outputs", o->outputs, "npz file to write");
  app.add_option("-t,--threads", o->threads, "Threads; 0: all CPUs")->check(CLI::Range(0, 256));
  app.add_flag("--trust", o->trust, "Run the engine's native code although nobody vouches for it");
  o->build.add_to(app);
}

}  // namespace lathe::cli
