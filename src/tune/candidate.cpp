// SPDX-License-Identifier: Apache-2.0
#include "tune/candidate.h"

#include <time.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "codegen/generate.h"
#include "engine/write.h"

namespace lathe::tune {

namespace {

/// The sizes at the typical point of the symbols' ranges.
Result<std::vector<int64_t>> typical_dims(const Graph& graph, const Shape& shape) {
  std::map<std::string, Dim> at;
  for (const Dim& d : shape) {
    std::set<std::string> names;
    d.collect_symbols(names);
    for (const auto& n : names) {
      const auto range = graph.symbols.find(n);
      at[n] = range == graph.symbols.end() ? Dim(1) : Dim(range->second.opt);
    }
  }
  std::vector<int64_t> dims;
  for (const Dim& d : shape) {
    const auto value = d.substitute(at).as_const();
    if (!value || *value < 0) return fail(Code::kUnsupported, "the size " + d.str() + " has no typical value");
    dims.push_back(*value);
  }
  return dims;
}

/// Bytes that stand for plausible values: floats in [-1, 1), all 8-bit integers, zeros of anything else.
Result<std::vector<std::byte>> made_up(DType dtype, const std::vector<int64_t>& dims, std::mt19937_64& random) {
  size_t count = 1;
  for (const int64_t d : dims)
    if (__builtin_mul_overflow(count, static_cast<size_t>(d), &count) || count > (size_t{1} << 32))
      return fail(Code::kUnsupported, "an input is too large to be timed");
  std::vector<std::byte> bytes((count * static_cast<size_t>(dtype_bits(dtype)) + 7) / 8);
  if (dtype == DType::kF32) {
    for (size_t i = 0; i < count; ++i) {
      const float v = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1);
      std::memcpy(bytes.data() + i * sizeof v, &v, sizeof v);
    }
  } else if (dtype == DType::kI8 || dtype == DType::kU8) {
    for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 0xFF);
  }
  return bytes;
}

/// Processor time of this thread, which does all the work of a session with one thread: other programs count little.
double thread_nanoseconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Graph>> single_node_graph(const Graph& graph, const Node& node) {
  auto single = std::make_unique<Graph>();
  single->symbols = graph.symbols;
  single->name = node.name;
  std::map<ValueId, ValueId> copies;
  std::vector<ValueId> inputs;
  for (const ValueId v : node.inputs) {
    if (v == kNoId) {
      inputs.push_back(kNoId);
      continue;
    }
    const auto [it, fresh] = copies.try_emplace(v, kNoId);
    if (fresh) {
      const Value& x = graph.value(v);
      const std::string name = "v" + std::to_string(copies.size());
      it->second = x.constant ? single->add_constant(name, *x.constant) : single->add_input(name, x.dtype, x.shape);
    }
    inputs.push_back(it->second);
  }
  const auto anchors = inputs.begin() + node.anchor_inputs;
  LATHE_TRY(const NodeId id, single->add_node(node.op, {inputs.begin(), anchors}, {}, node.name));
  for (auto it = anchors; it != inputs.end(); ++it) single->append_input(id, *it);
  Node& copy = single->node(id);
  copy.epilogue = node.epilogue;
  copy.anchor_inputs = node.anchor_inputs;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    single->value(copy.outputs[i]).dtype = graph.value(node.outputs[i]).dtype;
    single->outputs.push_back(copy.outputs[i]);
    single->output_names.push_back("y" + std::to_string(i));
  }
  return single;
}

Result<Candidate> Candidate::make(const Graph& graph, const Target& target, const codegen::LoweringOptions& options) {
  Candidate c;
  codegen::WeightPool weights;
  EngineContents contents;
  LATHE_TRY(contents.targets.emplace_back(), codegen::generate(graph, target, options, weights, 1, {}));
  contents.weights = weights.blobs();
  LATHE_TRY(c.file_, serialize_engine(contents));
  EngineOptions open;
  open.trust = true;
  LATHE_TRY(const Engine::Ref engine, Engine::open_memory(c.file_, open));
  LATHE_TRY(c.session_, Session::create(engine, {.threads = 1}));
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): the same inputs for every way
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Value& v = graph.value(graph.inputs[i]);
    LATHE_TRY(const std::vector<int64_t> dims, typical_dims(graph, v.shape));
    LATHE_TRY(c.inputs_.emplace_back(), made_up(v.dtype, dims, random));
    LATHE_CHECK(c.session_->bind_input(i, c.inputs_.back().data(), dims));
  }
  return c;
}

Result<double> Candidate::run() {
  const double begin = thread_nanoseconds();
  LATHE_CHECK(session_->run());
  return thread_nanoseconds() - begin;
}

Result<bool> Candidate::agrees_with(Candidate& other, double tolerance) {
  const size_t bytes = session_->output_bytes(0);
  if (bytes != other.session_->output_bytes(0)) return false;
  if (!bytes) return true;
  const void *mine = session_->output_data(0), *theirs = other.session_->output_data(0);
  if (std::memcmp(mine, theirs, bytes) == 0) return true;
  const Plan& plan = session_->engine().plan();
  if (plan.buffers[static_cast<size_t>(plan.outputs[0].buffer)].dtype != DType::kF32) return false;
  double worst = 0, largest = 0;
  for (size_t i = 0; i < bytes / sizeof(float); ++i) {
    const float a = static_cast<const float*>(mine)[i], b = static_cast<const float*>(theirs)[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    worst = std::max(worst, std::abs(static_cast<double>(a) - b));
    if (std::isnan(worst) || std::isnan(a) != std::isnan(b)) return false;
    largest = std::max(largest, std::abs(static_cast<double>(b)));
  }
  return worst <= tolerance * largest;
}

}  // namespace lathe::tune
