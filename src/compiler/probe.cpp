// SPDX-License-Identifier: Apache-2.0
// Before the engine's headers, whose kNone its own would shadow.
#include "target/target.h"

#include "compiler/probe.h"

#include <algorithm>
#include <map>

#include "codegen/generate.h"
#include "engine/write.h"

namespace lathe::compiler {

lathe::Result<Probe> Probe::make(const Graph& graph, std::span<const ValueId> values, Math math, int jobs) {
  Probe p;
  Graph watched = graph;
  watched.outputs.clear();
  watched.output_names.clear();
  std::map<ValueId, size_t> known;
  for (const ValueId v : values) {
    const auto input = std::ranges::find(graph.inputs, v);
    if (input != graph.inputs.end()) {
      p.places_.emplace_back(true, static_cast<size_t>(input - graph.inputs.begin()));
      continue;
    }
    const auto [at, fresh] = known.try_emplace(v, watched.outputs.size());
    p.places_.emplace_back(false, at->second);
    if (!fresh) continue;
    watched.outputs.push_back(v);
    watched.output_names.push_back("watched" + std::to_string(at->second));
  }
  if (watched.outputs.empty()) return p;  // inputs alone: there is nothing to run
  PassOptions passes;
  passes.math = math;
  LATHE_CHECK(optimize(watched, passes));
  codegen::LoweringOptions lowering;
  lowering.math = math;
  codegen::WeightPool weights;
  EngineContents contents;
  LATHE_TRY(const Target* host, find_target("host"));
  LATHE_TRY(contents.targets.emplace_back(), codegen::generate(watched, *host, lowering, weights, jobs, {}));
  contents.weights = weights.blobs();
  LATHE_TRY(p.file_, serialize_engine(contents));
  EngineOptions open;
  open.trust = true;
  LATHE_TRY(const Engine::Ref engine, Engine::open_memory(p.file_, open));
  LATHE_TRY(p.session_, Session::create(engine, {.threads = jobs}));
  return p;
}

Status Probe::run(const Sample& sample) {
  sample_ = &sample;
  if (!session_) return {};
  for (size_t i = 0; i < sample.inputs.size(); ++i)
    LATHE_CHECK(session_->bind_input(i, sample.inputs[i].data.data(), sample.inputs[i].dims));
  return session_->run();
}

std::span<const float> Probe::value(size_t i) const {
  const auto& [input, at] = places_[i];
  const auto* data = input ? static_cast<const void*>(sample_->inputs[at].data.data()) : session_->output_data(at);
  const size_t bytes = input ? sample_->inputs[at].data.size() : session_->output_bytes(at);
  return {static_cast<const float*>(data), bytes / sizeof(float)};
}

std::vector<std::string> Probe::instructions() const {
  std::vector<std::string> names;
  for (const PlanInstr& i : session_->engine().plan().instrs) names.push_back(i.node);
  return names;
}

Status Probe::time(const Sample& sample, std::vector<int64_t>& least) {
  std::vector<int64_t> once(session_->engine().plan().instrs.size());
  LATHE_CHECK(session_->set_profile(once));
  const Status done = run(sample);
  LATHE_CHECK(session_->set_profile({}));
  LATHE_CHECK(done);
  least.resize(once.size(), INT64_MAX);
  for (size_t i = 0; i < once.size(); ++i) least[i] = std::min(least[i], once[i]);
  return {};
}

}  // namespace lathe::compiler
