// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "cli/command.h"
#include "cli/open.h"
#include "cli/python.h"
#include "cli/session_io.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, npz, against = "onnxruntime";
  int threads = 1;
  double tolerance = 1e-3;
  BuildFlags build;
};

/// Values of the model that the engine holds in memory, in the order in which they were written.
struct Trace {
  std::vector<NamedTensor> values;
  Json places = Json::array();  ///< for each value: {"value", "instruction", "node", "op", "tactic"}
};

void take(const Session& session, BufferId id, const std::string& name, int32_t at, Trace& trace) {
  const Plan& plan = session.engine().plan();
  const DType type = plan.buffers[static_cast<size_t>(id)].dtype;
  const Session::View view = session.view(id);
  if (!view.data || dtype_bits(type) == 0) return;
  const auto* data = static_cast<const std::byte*>(view.data);
  trace.values.push_back({name, {type, view.dims, {data, data + view.bytes}}});
  const PlanInstr& i = plan.instrs[static_cast<size_t>(at)];
  trace.places.push_back({{"value", name}, {"instruction", at}, {"node", i.node}, {"op", i.op}, {"tactic", i.tactic}});
}

/// Runs the engine as it is and copies what each instruction leaves under a name of the model.
Result<Trace> traced(Session& session) {
  using Place = PlanBuffer::Place;
  const Plan& plan = session.engine().plan();
  Trace trace;
  std::set<std::string> taken;
  std::vector<std::pair<BufferId, std::string>> named;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const PlanBuffer& buffer = plan.buffers[b];
    if (!buffer.name.empty() && buffer.place != Place::kInput && buffer.place != Place::kWeight)
      named.emplace_back(static_cast<BufferId>(b), buffer.name);
  }
  for (const PlanPort& port : plan.outputs) named.emplace_back(port.buffer, port.name);
  session.set_observer([&](int32_t at) {
    for (const auto& [id, name] : named)
      if (plan.buffers[static_cast<size_t>(id)].first == at && taken.insert(name).second)
        take(session, id, name, at, trace);
  });
  const Status done = session.run();
  session.set_observer({});
  if (!done) return std::unexpected(done.error());
  return trace;
}

Status diff(const Options& o, const Output& out) {
  if (is_engine_file(o.model))
    return fail(Code::kUsage, o.model + " is an engine; diff expects the model, which the other runtime can read too");
  LATHE_TRY(const Python python, python_with_lathe());
  LATHE_TRY(const Opened opened, open_engine_or_model(o.model, o.build, {}, out));
  LATHE_TRY(const auto session, Session::create(opened.engine, {.threads = o.threads}));
  const Plan& plan = opened.engine->plan();
  LATHE_TRY(const auto inputs, o.npz.empty() ? random_inputs(plan, o.build.shape, 1) : read_inputs(plan, o.npz, {}));
  LATHE_CHECK(bind_inputs(*session, inputs));
  LATHE_TRY(const Trace trace, traced(*session));

  std::string folder = (fs::temp_directory_path() / "lathe-diff-XXXXXX").string();
  if (!mkdtemp(folder.data()))
    return fail(Code::kFailed, "no folder can be made in " + fs::temp_directory_path().string());
  std::vector<NamedTensor> fed;
  for (size_t i = 0; i < inputs.size(); ++i) fed.push_back({plan.inputs[i].name, inputs[i]});
  LATHE_CHECK(write_npz(folder + "/inputs.npz", fed));
  LATHE_CHECK(write_npz(folder + "/values.npz", trace.values));
  std::ofstream places(folder + "/places.json");
  places << trace.places.dump();
  places.close();
  if (!places) return fail(Code::kFailed, folder + "/places.json cannot be written");
  std::vector<std::string> args = {
      o.model, "--trace", folder, "--against", o.against, "--tolerance", fmt::format("{}", o.tolerance)};
  if (out.json) args.emplace_back("--json");
  if (out.quiet) args.emplace_back("--quiet");
  return become_python(python, "lathe.diff", args);
}

}  // namespace

void add_diff(Commands& commands) {
  const auto o = std::make_shared<Options>();
  CLI::App& app =
      commands.add("diff", "Find the first node whose output differs from another runtime's",
                   "lathe diff model.onnx --against onnxruntime", [o](const Output& out) { return diff(*o, out); });
  app.add_option("MODEL", o->model, "The model's file")->required();
  app.add_option("--against", o->against, "onnxruntime, or reference: ONNX's own evaluation in Python")
      ->check(CLI::IsMember({"onnxruntime", "reference"}))
      ->capture_default_str();
  app.add_option("--tolerance", o->tolerance, "Largest difference, relative to the largest element of the value")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--inputs", o->npz, "npz file with an array for each input; default: made up, always the same");
  app.add_option("-t,--threads", o->threads, "Threads; 0: all CPUs")->check(CLI::Range(0, 256))->capture_default_str();
  o->build.add_to(app);
}

}  // namespace lathe::cli
