// SPDX-License-Identifier: Apache-2.0
// Post-training quantization: the float network runs on the calibration set, ranges are chosen from what its values
// were, and quantized networks are measured against it.
#include "compiler/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/cpu_features.h"
#include "compiler/comparison.h"
#include "compiler/probe.h"
#include "compiler/samples.h"
#include "quant/agreement.h"
#include "quant/apply.h"

namespace lathe::compiler {

bool matches(std::string_view name, std::string_view pattern) {
  return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

namespace {

using quant::Agreement;
using quant::Layer;

constexpr size_t kRankingSamples = 8;  // a ranking needs an engine for every layer
constexpr int kTimingRounds = 30;
constexpr double kWorthwhile = 0.97;  // of float's time, so that noise decides nothing
constexpr size_t kReconsidered = 16;  // float layers that are tried as integers once more

class Quantizer {
 public:
  Quantizer(Graph& graph, const BuildOptions& options, Math math, const std::function<bool(double)>& progress)
      : g_(graph),
        o_(options),
        q_(options.quantize),
        math_(math),
        progress_(progress),
        jobs_(options.jobs > 0 ? options.jobs : usable_cpus()),
        comparison_(graph, math, jobs_) {}

  lathe::Result<QuantizeReport> run() {
    LATHE_TRY(samples_, load_samples(g_, q_.calibration, report_.warnings));
    split();
    scheme_ = quant::find_scheme(g_);
    if (scheme_.layers.empty())
      return fail(
          Code::kUnsupported,
          "nothing in the model can be quantized: it has no convolution and no product with constant weights in "
          "f32 (is it quantized already?); build it with --precision fp32");
    LATHE_CHECK(keep_named());
    LATHE_CHECK(observe());
    options_.percentile = q_.percentile;
    options_.activations = q_.activations == "i8" ? DType::kI8 : DType::kU8;
    options_.correct_bias = q_.correct_bias;
    LATHE_CHECK(choose_calibrator());
    if (o_.precision == "mixed" && o_.tune != "none" && !comparison_.outputs().empty()) LATHE_CHECK(keep_the_faster());
    if (o_.precision == "mixed") LATHE_CHECK(search());
    LATHE_TRY(Graph quantized, applied(chosen_));
    LATHE_CHECK(evaluate(quantized));
    g_ = std::move(quantized);
    return std::move(report_);
  }

 private:
  Status step(double done) const {
    if (progress_(done)) return {};
    return fail(Code::kInterrupted, "interrupted; nothing was written");
  }

  /// Every fifth sample is kept for the report and another fifth for choices, where there are at least five.
  void split() {
    report_.disjoint = samples_.size() >= 5;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const bool report = report_.disjoint && i % 5 == 4, choice = report_.disjoint && i % 5 == 2;
      (report ? evaluation_ : choice ? search_ : calibration_).push_back(&samples_[i]);
    }
    if (!report_.disjoint) evaluation_ = search_ = calibration_;
    report_.calibration_samples = static_cast<int>(calibration_.size());
    report_.search_samples = static_cast<int>(search_.size());
    report_.evaluation_samples = static_cast<int>(evaluation_.size());
    if (!report_.disjoint)
      report_.warnings.push_back(fmt::format(
          "{} calibration samples: the figures are those of the samples that ranges were made from; give at least 5",
          samples_.size()));
  }

  Status keep_named() {
    chosen_.assign(scheme_.layers.size(), true);
    why_.resize(scheme_.layers.size());
    for (const std::string& pattern : q_.keep_float) {
      bool found = false;
      for (size_t i = 0; i < scheme_.layers.size(); ++i) {
        if (!matches(scheme_.layers[i].name, pattern)) continue;
        found = true;
        chosen_[i] = false;
        why_[i] = "kept as asked";
      }
      if (!found)
        return fail(Code::kUsage,
                    "there is no layer \"" + pattern + "\" to keep in float; `lathe quantize` lists them");
    }
    if (std::ranges::none_of(chosen_, std::identity{}))
      return fail(Code::kUsage, "every layer is to be kept in float: nothing is left to quantize");
    return {};
  }

  Status observe() {
    std::vector<ValueId> values;
    for (const auto& group : scheme_.groups) values.insert(values.end(), group.roots.begin(), group.roots.end());
    for (const Layer& l : scheme_.layers) values.push_back(l.input);
    std::ranges::sort(values);
    values.erase(std::ranges::unique(values).begin(), values.end());
    LATHE_TRY(Probe probe, Probe::make(g_, values, math_, jobs_));
    for (size_t i = 0; i < calibration_.size(); ++i) {
      LATHE_CHECK(step(0.5 * static_cast<double>(i) / static_cast<double>(calibration_.size())));
      LATHE_CHECK(probe.run(*calibration_[i]));
      for (size_t k = 0; k < values.size(); ++k) {
        const Shape& shape = g_.value(values[k]).shape;
        auto& seen = seen_[values[k]];
        seen.add(probe.value(k), shape.empty() ? 0 : shape.back().as_const().value_or(0));
        if (seen.histogram.not_finite() > 0) return name_culprit(*calibration_[i]);
      }
    }
    for (const auto& group : scheme_.groups)
      for (const ValueId root : group.roots) {
        const auto& h = seen_[root].histogram;
        if (h.count() == 0 || h.min() != h.max()) continue;
        report_.warnings.push_back(
            fmt::format("what {} makes is {} everywhere in the calibration set: its range means nothing", maker(root),
                        static_cast<double>(h.min())));
      }
    return {};
  }

  [[nodiscard]] std::string maker(ValueId v) const {
    const NodeId n = g_.value(v).producer;
    if (n == kNoId) return "input \"" + g_.value(v).name + '"';
    return "node \"" + g_.node(n).name + "\" (" + std::string(g_.node(n).op->name()) + ")";
  }

  /// The first node whose results are not finite though what it is given is.
  std::unexpected<Error> name_culprit(const Sample& sample) {
    std::vector<ValueId> values;
    for (const NodeId n : g_.order())
      for (const ValueId v : g_.node(n).outputs)
        if (g_.value(v).dtype == DType::kF32 && (!g_.value(v).users.empty() || g_.is_output(v))) values.push_back(v);
    auto probe = Probe::make(g_, values, math_, jobs_);
    if (!probe) return std::unexpected(probe.error());
    if (const Status s = probe->run(sample); !s) return std::unexpected(s.error());
    for (size_t k = 0; k < values.size(); ++k)
      for (const float x : probe->value(k))
        if (!std::isfinite(x))
          return fail(Code::kUsage,
                      fmt::format("{} makes {} of calibration sample {}: no range can be made from that; leave the "
                                  "sample out, or repair the model",
                                  maker(values[k]), std::isnan(x) ? "NaN" : "an infinity", sample.name));
    return fail(Code::kFailed, "values that are not finite came once and not again, for sample " + sample.name);
  }

  lathe::Result<Graph> applied(const std::vector<bool>& chosen) const {
    Graph copy = g_;
    LATHE_CHECK(quant::apply(copy, scheme_, chosen, params_, seen_, options_));
    return copy;
  }

  static double mean_snr(const std::vector<Agreement>& a) {
    double sum = 0;
    for (const Agreement& x : a) sum += x.snr();
    return a.empty() ? 0 : sum / static_cast<double>(a.size());
  }
  Status choose_calibrator() {
    if (const auto one = quant::find_calibrator(q_.calibrator)) {
      use(*one);
      return {};
    }
    double best = -HUGE_VAL;
    quant::Calibrator choice = quant::Calibrator::kMse;
    for (const quant::Calibrator c : quant::kCalibrators) {
      LATHE_CHECK(step(0.5 + 0.05 * static_cast<double>(report_.tried.size())));
      use(c);
      LATHE_TRY(const Graph candidate, applied(chosen_));
      LATHE_TRY(const auto agreement, comparison_.with(candidate, search_));
      const double snr = mean_snr(agreement);
      report_.tried.emplace_back(quant::calibrator_name(c), snr);
      if (snr > best && !comparison_.outputs().empty()) {
        best = snr;
        choice = c;
      }
    }
    use(choice);
    return {};
  }

  void use(quant::Calibrator c) {
    options_.calibrator = c;
    params_ = quant::choose_params(scheme_, seen_, options_);
    report_.calibrator = quant::calibrator_name(c);
  }

  struct Timed {
    std::vector<double> layers;  ///< milliseconds of each
    double all = 0;
  };
  /// What graphs take on one thread, run in turn: the least of many runs of each instruction.
  lathe::Result<std::vector<Timed>> timed(std::span<const Graph* const> graphs) {
    std::vector<Probe> probes;
    std::vector<std::vector<int64_t>> least(graphs.size());
    for (const Graph* g : graphs) {
      LATHE_TRY(probes.emplace_back(), Probe::make(*g, comparison_.outputs(), math_, 1));
    }
    for (int round = 0; round < kTimingRounds; ++round)
      for (size_t i = 0; i < probes.size(); ++i) LATHE_CHECK(probes[i].time(*search_[0], least[i]));
    std::vector<Timed> r;
    for (size_t i = 0; i < probes.size(); ++i) {
      Timed t{std::vector<double>(scheme_.layers.size()), 0};
      const auto names = probes[i].instructions();
      for (size_t k = 0; k < names.size(); ++k) {
        const double ms = static_cast<double>(least[i][k]) * 1e-6;
        t.all += ms;
        if (const auto layer = layer_in(names[k])) t.layers[*layer] += ms;
      }
      r.push_back(std::move(t));
    }
    return r;
  }

  /// The first layer among the nodes that an instruction stands for ("a + b + c").
  [[nodiscard]] std::optional<size_t> layer_in(const std::string& nodes) const {
    const std::string all = " + " + nodes + " + ";
    std::optional<size_t> found;
    size_t first = std::string::npos;
    for (size_t i = 0; i < scheme_.layers.size(); ++i)
      if (const size_t at = all.find(" + " + scheme_.layers[i].name + " + "); at < first) {
        first = at;
        found = i;
      }
    return found;
  }

  /// A layer that is not faster in int8 here goes back to float, and all do if no mixture is.
  Status keep_the_faster() {
    LATHE_CHECK(step(0.7));
    LATHE_TRY(const Graph integers, applied(chosen_));
    const Graph* both[] = {&g_, &integers};
    LATHE_TRY(const std::vector<Timed> alone, timed(both));
    std::vector<bool> fast = chosen_;
    for (size_t i = 0; i < fast.size(); ++i)
      fast[i] = chosen_[i] && alone[1].layers[i] < kWorthwhile * alone[0].layers[i];
    LATHE_TRY(const Graph mixture, applied(fast));
    const Graph* three[] = {&g_, &integers, &mixture};
    LATHE_TRY(const std::vector<Timed> whole, timed(three));
    times_ = whole;
    const bool gains = whole[2].all < kWorthwhile * whole[0].all || whole[1].all < kWorthwhile * whole[0].all;
    const std::vector<bool> best = !gains                        ? std::vector<bool>(chosen_.size(), false)
                                   : whole[1].all < whole[2].all ? chosen_
                                                                 : fast;
    for (size_t i = 0; i < best.size(); ++i)
      if (chosen_[i] && !best[i])
        why_[i] = fmt::format("no faster: {:.3f} ms, float {:.3f} ms", alone[1].layers[i], alone[0].layers[i]);
    if (!gains)
      report_.warnings.push_back(
          fmt::format("int8 is not faster on this machine ({:.2f} ms, float {:.2f} ms): every layer stays in float",
                      std::min(whole[1].all, whole[2].all), whole[0].all));
    chosen_ = best;
    return {};
  }

  /// Layers go back to float, those that hurt most by themselves first, until the loss is within the budget.
  Status search() {
    if (std::ranges::none_of(chosen_, std::identity{})) return {};
    LATHE_TRY(const double all, loss_of(chosen_, search_));
    if (all <= q_.max_loss) return {};
    const std::vector<const Sample*> few(
        search_.begin(), search_.begin() + static_cast<std::ptrdiff_t>(std::min(search_.size(), kRankingSamples)));
    alone_.assign(scheme_.layers.size(), 200);
    std::vector<size_t> order;
    for (size_t i = 0; i < scheme_.layers.size(); ++i) {
      if (!chosen_[i]) continue;
      LATHE_CHECK(step(0.7 + 0.2 * static_cast<double>(i) / static_cast<double>(scheme_.layers.size())));
      std::vector<bool> one(scheme_.layers.size(), false);
      one[i] = true;
      LATHE_TRY(const Graph candidate, applied(one));
      LATHE_TRY(const auto agreement, comparison_.with(candidate, few));
      alone_[i] = mean_snr(agreement);
      order.push_back(i);
    }
    std::ranges::stable_sort(order, {}, [&](size_t i) { return alone_[i]; });
    const auto without = [&](size_t count) {
      std::vector<bool> c = chosen_;
      for (size_t k = 0; k < count; ++k) c[order[k]] = false;
      return c;
    };
    size_t low = 1, high = order.size();  // the least number that is enough lies in [low, high]
    while (low < high) {
      LATHE_CHECK(step(0.9));
      const size_t middle = (low + high) / 2;
      LATHE_TRY(const double l, loss_of(without(middle), search_));
      if (l <= q_.max_loss)
        high = middle;
      else
        low = middle + 1;
    }
    std::vector<bool> best = without(high);
    std::vector<size_t> back(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(high));
    std::ranges::stable_sort(back, std::greater{}, [&](size_t i) { return scheme_.layers[i].flops; });
    if (back.size() > kReconsidered) back.resize(kReconsidered);
    for (const size_t i : back) {
      LATHE_CHECK(step(0.95));
      std::vector<bool> more = best;
      more[i] = true;
      LATHE_TRY(const double l, loss_of(more, search_));
      if (l <= q_.max_loss) best = std::move(more);
    }
    for (size_t i = 0; i < best.size(); ++i)
      if (chosen_[i] && !best[i]) why_[i] = fmt::format("alone it leaves {:.1f} dB", alone_[i]);
    chosen_ = std::move(best);
    return {};
  }

  lathe::Result<double> loss_of(const std::vector<bool>& chosen, const std::vector<const Sample*>& samples) {
    if (std::ranges::none_of(chosen, std::identity{})) return 0.0;
    LATHE_TRY(const Graph candidate, applied(chosen));
    LATHE_TRY(const auto agreement, comparison_.with(candidate, samples));
    return Comparison::loss(agreement);
  }

  /// What the report says is measured on the network as it will be.
  Status evaluate(const Graph& quantized) {
    LATHE_CHECK(step(0.97));
    LATHE_TRY(const auto ends, comparison_.with(quantized, evaluation_));
    comparison_.report(ends, report_);
    std::vector<ValueId> results;
    for (const Layer& l : scheme_.layers) results.push_back(l.result);
    LATHE_TRY(Probe reference, Probe::make(g_, results, math_, jobs_));
    LATHE_TRY(Probe probe, Probe::make(quantized, results, math_, jobs_));
    std::vector<Agreement> layers(results.size());
    for (const Sample* s : evaluation_) {
      LATHE_CHECK(reference.run(*s));
      LATHE_CHECK(probe.run(*s));
      for (size_t k = 0; k < results.size(); ++k) layers[k].add(reference.value(k), probe.value(k));
    }
    for (size_t k = 0; k < results.size(); ++k) {
      const Layer& l = scheme_.layers[k];
      QuantizeReport::Layer entry{.name = l.name,
                                  .op = l.op,
                                  .precision = chosen_[k] ? "int8" : "fp32",
                                  .why = why_[k],
                                  .snr_db = layers[k].snr(),
                                  .cosine = layers[k].cosine()};
      if (!alone_.empty()) entry.alone_snr_db = alone_[k];
      if (!times_.empty()) {
        entry.fp32_ms = times_[0].layers[k];
        entry.int8_ms = times_[1].layers[k];
      }
      entry.flops = l.flops;
      report_.layers.push_back(std::move(entry));
    }
    if (o_.precision == "mixed" && report_.loss > q_.max_loss)
      report_.warnings.push_back(
          fmt::format("the loss is {:.3g} % on samples that the search had not seen, above the {:.3g} % allowed",
                      report_.loss, q_.max_loss));
    return {};
  }

  Graph& g_;
  const BuildOptions& o_;
  const QuantizeOptions& q_;
  const Math math_;
  const std::function<bool(double)>& progress_;
  const int jobs_;
  Comparison comparison_;
  QuantizeReport report_;
  std::vector<Sample> samples_;
  std::vector<const Sample*> calibration_, search_, evaluation_;
  quant::Scheme scheme_;
  quant::Observations seen_;
  quant::ApplyOptions options_;
  std::vector<quant::Params> params_;
  std::vector<bool> chosen_;
  std::vector<std::string> why_;
  std::vector<double> alone_;
  std::vector<Timed> times_;  ///< of float, of all in int8
};

}  // namespace

lathe::Result<QuantizeReport> quantize_graph(Graph& graph, const BuildOptions& options, Math math,
                                             const std::function<bool(double)>& progress) {
  if (!graph.states.empty())
    return fail(Code::kUnsupported, "the model keeps state from one run to the next (\"" +
                                        graph.value(graph.inputs[graph.inputs.size() - graph.states.size()]).name +
                                        "\"), which cannot be calibrated yet; build it without quantizing");
  return Quantizer(graph, options, math, progress).run();
}

}  // namespace lathe::compiler
