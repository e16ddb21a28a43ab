// SPDX-License-Identifier: Apache-2.0
#include "tune/tuner.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "tune/candidate.h"

namespace lathe::tune {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kGain = 0.97;       // another way must take at most this share of the first's time
constexpr double kHopeless = 1.3;    // after a few rounds, ways slower than the best by this are left out
constexpr double kTolerance = 2e-3;  // of the largest value; Winograd F(4x4) rounds to 1e-5, a wrong kernel to 1

struct Limits {
  size_t ways;
  int least_rounds, most_rounds;
  double seconds_a_decision, seconds;
};
constexpr Limits kFastLimits{6, 3, 12, 0.15, 50}, kFullLimits{16, 8, 60, 1.5, 1e9};

/// Answers what is known; remembers the first decision that is not, and which nodes leave any open.
class Recorder final : public codegen::TacticChooser {
 public:
  explicit Recorder(const std::map<std::string, std::string>& known) : known_(known) {}
  size_t choose(const Graph& graph, const Node& node, const std::string& key,
                std::span<const std::string> tactics) override {
    keys.insert(key);
    if (const auto it = known_.find(key); it != known_.end()) {
      const auto at = std::find(tactics.begin(), tactics.end(), it->second);
      return at == tactics.end() ? 0 : static_cast<size_t>(at - tactics.begin());
    }
    if (key == forced_key) return forced;
    if (open_key.empty()) {
      open_key = key;
      open_tactics.assign(tactics.begin(), tactics.end());
    }
    if (seen_.insert(key).second) open_nodes.emplace_back(&graph, &node);
    return 0;
  }
  std::string forced_key;
  size_t forced = 0;
  std::set<std::string> keys;
  std::string open_key;
  std::vector<std::string> open_tactics;
  std::vector<std::pair<const Graph*, const Node*>> open_nodes;

 private:
  const std::map<std::string, std::string>& known_;
  std::set<std::string> seen_;
};

/// What a cache holds when a layer's turn comes in a large network: something else.
class Evictor {
 public:
  explicit Evictor(size_t bytes) : memory_(bytes) {}
  void run() {
    for (size_t i = 0; i < memory_.size(); i += 64) memory_[i] = static_cast<char>(memory_[i] + 1);
  }

 private:
  std::vector<char> memory_;
};

double lower_quartile(std::vector<double> times) {
  const auto at = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 4);
  std::nth_element(times.begin(), at, times.end());
  return *at;
}

size_t constant_bytes(const Graph& graph) {
  size_t bytes = 0;
  for (size_t i = 0; i < graph.value_count(); ++i)
    if (const Value& v = graph.value(static_cast<ValueId>(i)); v.constant && !v.users.empty())
      bytes += v.constant->bytes().size();
  return bytes;
}

class Tuning {
 public:
  Tuning(const Graph& graph, const Target& target, const codegen::LoweringOptions& options, Effort effort,
         TimingCache& cache, std::map<std::string, std::string>& known)
      : graph_(graph),
        target_(target),
        options_(options),
        limits_(effort == Effort::kFast ? kFastLimits : kFullLimits),
        cache_(cache),
        known_(known),
        evictor_(eviction_bytes(graph, target)) {}

  Result<TuneReport> run(const std::function<bool(double)>& progress) {
    LATHE_TRY(const auto nodes, open_nodes());
    for (size_t i = 0; i < nodes.size(); ++i) {
      if ((progress && !progress(static_cast<double>(i) / static_cast<double>(nodes.size()))) || out_of_time()) {
        report_.complete = false;
        break;
      }
      LATHE_TRY(const auto single, single_node_graph(*nodes[i].first, *nodes[i].second));
      LATHE_CHECK(decide_node(*single));
    }
    return report_;
  }

 private:
  static size_t eviction_bytes(const Graph& graph, const Target& target) {
    const size_t bytes = constant_bytes(graph);
    return bytes < static_cast<size_t>(target.l2_bytes) / 2 ? 0 : std::min(bytes, size_t{64} << 20);
  }

  [[nodiscard]] bool out_of_time() const {
    return std::chrono::duration<double>(Clock::now() - begin_).count() > limits_.seconds;
  }

  /// Lowers the whole graph with what the cache knows; the nodes that leave decisions open, one for each of equals.
  Result<std::vector<std::pair<const Graph*, const Node*>>> open_nodes() {
    // Decisions hang on earlier ones (the tile on the algorithm), so what is known is looked up until nothing is new.
    for (;;) {
      Recorder recorder(known_);
      LATHE_CHECK(lower(graph_, recorder));
      const size_t before = known_.size();
      for (const std::string& key : recorder.keys) LATHE_CHECK(look_up(key));
      if (known_.size() != before) continue;
      report_.decisions = static_cast<int>(recorder.keys.size());
      report_.known = static_cast<int>(known_.size());
      return std::move(recorder.open_nodes);
    }
  }

  Status look_up(const std::string& key) {
    if (known_.contains(key)) return {};
    LATHE_TRY(const auto record, cache_.find(key));
    if (record) known_[key] = record->tactic;
    return {};
  }

  Status lower(const Graph& graph, Recorder& recorder) const {
    codegen::LoweringOptions options = options_;
    options.chooser = &recorder;
    codegen::WeightPool weights;
    codegen::Lowering lowering(graph, target_, options, weights);
    return lowering.lower_all();
  }

  /// Makes the decisions of one node, the first open one at a time.
  Status decide_node(const Graph& single) {
    for (;;) {
      Recorder recorder(known_);
      LATHE_CHECK(lower(single, recorder));
      if (recorder.open_key.empty()) return {};
      LATHE_TRY(const auto record, measure(single, recorder.open_key, recorder.open_tactics));
      known_[recorder.open_key] = record.tactic;
      ++report_.measured;
      report_.changed += record.tactic != recorder.open_tactics[0];
      LATHE_CHECK(cache_.put(recorder.open_key, record));
    }
  }

  struct Way {
    size_t index = 0;
    Candidate candidate;
    std::vector<double> times;
  };

  Result<Record> measure(const Graph& single, const std::string& key, const std::vector<std::string>& tactics) {
    std::vector<Way> ways;
    for (size_t i = 0; i < std::min(tactics.size(), limits_.ways); ++i) {
      Recorder recorder(known_);
      recorder.forced_key = key;
      recorder.forced = i;
      codegen::LoweringOptions options = options_;
      options.chooser = &recorder;
      auto candidate = Candidate::make(single, target_, options);
      if (!candidate && candidate.error().code == Code::kUnsupported && ways.empty())
        return Record{tactics[0], 0, 0};  // what cannot run alone keeps the cost model's choice
      if (!candidate) return std::unexpected(candidate.error());
      ways.push_back({i, *std::move(candidate), {}});
      LATHE_TRY(const double first, ways.back().candidate.run());
      static_cast<void>(first);  // pages and caches are cold
      if (i == 0) continue;
      LATHE_TRY(const bool right, ways.back().candidate.agrees_with(ways.front().candidate, kTolerance));
      if (right) continue;
      report_.rejected.push_back(single.name + ": " + tactics[i]);
      ways.pop_back();
    }
    LATHE_CHECK(take_turns(ways));
    const double reference = lower_quartile(ways.front().times);
    size_t best = 0;
    double best_time = reference;
    for (const Way& w : ways) {
      const double time = lower_quartile(w.times);
      if (time >= best_time || time > kGain * reference) continue;
      best_time = time;
      best = w.index;
    }
    return Record{tactics[best], best_time, reference};
  }

  Status take_turns(std::vector<Way>& ways) {
    const auto begin = Clock::now();
    std::vector<Way*> left;
    for (Way& w : ways) left.push_back(&w);
    for (int round = 0; round < limits_.most_rounds; ++round) {
      for (Way* w : left) {
        evictor_.run();
        LATHE_TRY(const double time, w->candidate.run());
        w->times.push_back(time);
      }
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      if (round + 1 < limits_.least_rounds) continue;
      if (seconds > limits_.seconds_a_decision) break;
      double best = 1e300;
      for (const Way* w : left) best = std::min(best, lower_quartile(w->times));
      // The first stays: the others are measured against it.
      std::erase_if(left, [&](const Way* w) { return w != &ways[0] && lower_quartile(w->times) > kHopeless * best; });
      if (left.size() < 2) break;
    }
    return {};
  }

  const Graph& graph_;
  const Target& target_;
  const codegen::LoweringOptions& options_;
  const Limits& limits_;
  TimingCache& cache_;
  std::map<std::string, std::string>& known_;
  Evictor evictor_;
  TuneReport report_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

size_t Tuned::choose(const Graph& /*graph*/, const Node& /*node*/, const std::string& key,
                     std::span<const std::string> tactics) {
  const auto it = tactic_by_key.find(key);
  if (it == tactic_by_key.end()) return 0;
  const auto at = std::find(tactics.begin(), tactics.end(), it->second);
  return at == tactics.end() ? 0 : static_cast<size_t>(at - tactics.begin());
}

Result<TuneReport> tune(const Graph& graph, const Target& target, const codegen::LoweringOptions& options,
                        Effort effort, TimingCache& cache, const std::function<bool(double)>& progress, Tuned& result) {
  return Tuning(graph, target, options, effort, cache, result.tactic_by_key).run(progress);
}

}  // namespace lathe::tune
