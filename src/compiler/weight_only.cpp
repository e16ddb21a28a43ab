// SPDX-License-Identifier: Apache-2.0
// Weight-only quantization: see docs/quantization.md.
#include "compiler/weight_only.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/cpu_features.h"
#include "compiler/comparison.h"
#include "compiler/probe.h"
#include "compiler/quantize.h"
#include "compiler/samples.h"
#include "quant/weight_only.h"

namespace lathe::compiler {

namespace {

using quant::CodedLayer;
using quant::WeightFormat;

constexpr int64_t kMostSteps = 8192;   // of a reduction whose errors are spread: the sums take its square
constexpr size_t kRankingSamples = 4;  // a ranking needs an engine for every layer
constexpr int64_t kBlocks[] = {16, 32, 64, 128, 256};

struct Precision {
  std::string_view name;
  DType type, with_zeros;
  int64_t block;  ///< where the user says nothing
};
constexpr Precision kPrecisions[] = {{"w8", DType::kI8, DType::kU8, 0},
                                     {"w4", DType::kI4, DType::kU4, 32},
                                     {"wfp8", DType::kF8E4M3FN, DType::kUndefined, 0},
                                     {"wfp4", DType::kF4E2M1, DType::kUndefined, 16}};

const Precision* find_precision(std::string_view name) {
  const auto at = std::ranges::find(kPrecisions, name, &Precision::name);
  return at == std::end(kPrecisions) ? nullptr : at;
}

WeightFormat format_of(const BuildOptions& o) {
  const Precision& p = *find_precision(o.precision);
  const bool zeros = o.quantize.weight_zeros.value_or(p.name == "w4") && p.with_zeros != DType::kUndefined;
  return {zeros ? p.with_zeros : p.type, o.quantize.weight_block.value_or(p.block)};
}

class WeightCoder {
 public:
  WeightCoder(Graph& graph, const BuildOptions& options, Math math, const std::function<bool(double)>& progress)
      : g_(graph),
        o_(options),
        math_(math),
        progress_(progress),
        jobs_(options.jobs > 0 ? options.jobs : usable_cpus()),
        comparison_(graph, math, jobs_),
        format_(format_of(options)) {}

  lathe::Result<QuantizeReport> run() {
    layers_ = quant::find_coded_layers(g_);
    for (const CodedLayer& l : layers_) level_.push_back(l.why_not.empty() ? 0 : kFloat);
    LATHE_CHECK(keep_named());
    report_.calibrator = "nearest";
    if (o_.quantize.calibration.load) LATHE_CHECK(observe());
    codes_.resize(layers_.size());
    for (size_t i = 0; i < layers_.size(); ++i) {
      LATHE_CHECK(step(0.3 + 0.3 * static_cast<double>(i) / static_cast<double>(layers_.size())));
      if (level_[i] == kFloat) continue;
      const auto at = hessians_.find(layers_[i].input);
      codes_[i].push_back(quant::code_weights(quant::layer_weights(g_, layers_[i]), format_,
                                              at == hessians_.end() ? nullptr : &at->second));
    }
    if (!samples_.empty() && !comparison_.outputs().empty() && dtype_bits(format_.type) < 8) LATHE_CHECK(search());
    LATHE_TRY(Graph coded, applied(level_));
    LATHE_TRY(const auto tables, quant::code_tables(coded));
    if (!samples_.empty() && !comparison_.outputs().empty()) LATHE_CHECK(evaluate(coded));
    fill_report();
    for (const quant::Table& t : tables)
      report_.layers.push_back({.name = t.name,
                                .op = "Gather",
                                .precision = "w8",
                                .why = "a table",
                                .snr_db = snr(t.error),
                                .cosine = std::sqrt(std::max(0.0, 1 - t.error * t.error))});
    g_ = std::move(coded);
    return std::move(report_);
  }

 private:
  static double snr(double error) { return error > 0 ? -20 * std::log10(error) : 200; }
  static constexpr int kFloat = 2;  ///< levels: 0 as asked, 1 in 8 bits

  Status step(double done) const {
    if (progress_(done)) return {};
    return fail(Code::kInterrupted, "interrupted; nothing was written");
  }

  Status keep_named() {
    why_.resize(layers_.size());
    for (const std::string& pattern : o_.quantize.keep_float) {
      bool found = false;
      for (size_t i = 0; i < layers_.size(); ++i) {
        if (!matches(layers_[i].name, pattern)) continue;
        found = true;
        level_[i] = kFloat;
        why_[i] = "kept as asked";
      }
      if (!found) return fail(Code::kUsage, "there is no product \"" + pattern + "\" to keep in float");
    }
    return {};
  }

  /// What the weights multiply. Every fourth sample is kept for choices and figures.
  Status observe() {
    if (!g_.states.empty())
      return fail(Code::kUnsupported,
                  "the model keeps state from one run to the next, which cannot be calibrated yet; leave --calibrate");
    LATHE_TRY(samples_, load_samples(g_, o_.quantize.calibration, report_.warnings));
    report_.disjoint = samples_.size() >= 4;
    std::vector<const Sample*> seen;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const Sample* s = &samples_[i];
      if (!report_.disjoint || i % 4 != 3) seen.push_back(s);
      if (report_.disjoint && i % 4 == 3) (i % 8 == 3 ? search_ : evaluation_).push_back(s);
    }
    if (!report_.disjoint) search_ = seen;
    if (evaluation_.empty()) evaluation_ = search_;
    report_.calibration_samples = static_cast<int>(seen.size());
    report_.search_samples = static_cast<int>(search_.size());
    report_.evaluation_samples = static_cast<int>(evaluation_.size());
    std::vector<ValueId> values;
    for (size_t i = 0; i < layers_.size(); ++i)
      if (level_[i] != kFloat && layers_[i].k <= kMostSteps) values.push_back(layers_[i].input);
    std::ranges::sort(values);
    values.erase(std::ranges::unique(values).begin(), values.end());
    if (values.empty()) return {};
    LATHE_TRY(Probe probe, Probe::make(g_, values, math_, jobs_));
    for (size_t i = 0; i < seen.size(); ++i) {
      LATHE_CHECK(step(0.3 * static_cast<double>(i) / static_cast<double>(seen.size())));
      LATHE_CHECK(probe.run(*seen[i]));
      for (size_t k = 0; k < values.size(); ++k) {
        const auto value = probe.value(k);
        if (!std::ranges::all_of(value, [](float v) { return std::isfinite(v); }))
          return fail(Code::kUsage, fmt::format("\"{}\" is not finite for calibration sample {}: leave the sample out, "
                                                "or repair the model",
                                                g_.value(values[k]).name, seen[i]->name));
        auto& h = hessians_[values[k]];
        h.k = g_.value(values[k]).shape.back().value();
        h.add(value);
      }
    }
    report_.calibrator = "gptq";
    return {};
  }

  lathe::Result<Graph> applied(const std::vector<int>& level) {
    Graph copy = g_;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (level[i] == kFloat) continue;
      if (level[i] == 1 && codes_[i].size() < 2)
        codes_[i].push_back(quant::code_weights(quant::layer_weights(g_, layers_[i]), {DType::kI8, 0}));
      LATHE_CHECK(quant::code_layer(copy, layers_[i], codes_[i][static_cast<size_t>(level[i])],
                                    level[i] == 0 ? format_.block : 0));
    }
    return copy;
  }

  lathe::Result<double> loss_of(const std::vector<int>& level, const std::vector<const Sample*>& samples) {
    LATHE_TRY(const Graph candidate, applied(level));
    LATHE_TRY(const auto agreement, comparison_.with(candidate, samples));
    return Comparison::loss(agreement);
  }

  /// Layers get 8 bits, those that hurt most by themselves first, until the loss is within the budget; where 8 bits are
  /// not enough, floats.
  Status search() {
    LATHE_TRY(const double all, loss_of(level_, search_));
    if (all <= o_.quantize.max_loss) return {};
    const std::vector<const Sample*> few(
        search_.begin(), search_.begin() + static_cast<std::ptrdiff_t>(std::min(search_.size(), kRankingSamples)));
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (level_[i] == kFloat) continue;
      LATHE_CHECK(step(0.6 + 0.3 * static_cast<double>(i) / static_cast<double>(layers_.size())));
      std::vector<int> one(layers_.size(), kFloat);
      one[i] = 0;
      LATHE_TRY(const double alone, loss_of(one, few));
      order.emplace_back(-alone, i);
    }
    std::ranges::stable_sort(order);
    const auto raised = [&](size_t count) {
      std::vector<int> level = level_;
      for (size_t k = 0; k < count; ++k) level[order[k % order.size()].second] = k < order.size() ? 1 : kFloat;
      return level;
    };
    size_t low = 1, high = 2 * order.size();  // the least number that is enough lies in [low, high]
    while (low < high) {
      LATHE_CHECK(step(0.9));
      const size_t middle = (low + high) / 2;
      LATHE_TRY(const double l, loss_of(raised(middle), search_));
      if (l <= o_.quantize.max_loss)
        high = middle;
      else
        low = middle + 1;
    }
    const std::vector<int> best = raised(high);
    for (const auto& [loss, i] : order)
      if (best[i] != level_[i]) why_[i] = fmt::format("costs {:.3g} % alone", -loss);
    level_ = best;
    return {};
  }

  Status evaluate(const Graph& coded) {
    LATHE_CHECK(step(0.97));
    LATHE_TRY(const auto ends, comparison_.with(coded, evaluation_));
    comparison_.report(ends, report_);
    return {};
  }

  void fill_report() {
    for (size_t i = 0; i < layers_.size(); ++i) {
      const double error = level_[i] == kFloat ? 0 : codes_[i][static_cast<size_t>(level_[i])].error;
      report_.layers.push_back({.name = layers_[i].name,
                                .op = "MatMul",
                                .precision = level_[i] == 0   ? o_.precision
                                             : level_[i] == 1 ? "w8"
                                                              : "fp16",
                                .why = why_[i].empty() ? layers_[i].why_not : why_[i],
                                .snr_db = snr(error),
                                .cosine = std::sqrt(std::max(0.0, 1 - error * error)),
                                .flops = layers_[i].flops});
    }
  }

  Graph& g_;
  const BuildOptions& o_;
  const Math math_;
  const std::function<bool(double)>& progress_;
  const int jobs_;
  Comparison comparison_;
  const WeightFormat format_;
  QuantizeReport report_;
  std::vector<CodedLayer> layers_;
  std::vector<int> level_;
  std::vector<std::string> why_;
  std::vector<std::vector<quant::WeightCodes>> codes_;  ///< by level
  std::map<ValueId, quant::Hessian> hessians_;
  std::vector<Sample> samples_;
  std::vector<const Sample*> search_, evaluation_;
};

}  // namespace

bool is_weight_only(const std::string& precision) { return find_precision(precision) != nullptr; }

lathe::Status check_weight_options(const BuildOptions& o) {
  const auto& block = o.quantize.weight_block;
  if (block && *block != 0 && std::ranges::find(kBlocks, *block) == std::end(kBlocks))
    return fail(Code::kUsage,
                fmt::format("blocks of {} weights: choose 0 (a scale for each column), 16, 32, 64, 128 or "
                            "256",
                            *block));
  if (o.precision == "wfp4" && block && *block != 16 && *block != 32)
    return fail(Code::kUsage, "wfp4 has blocks of 16 (NVFP4) or 32 (MXFP4)");
  if (o.quantize.weight_zeros.value_or(false) && o.precision.starts_with("wfp"))
    return fail(Code::kUsage, "weights of " + o.precision + " have no zero points");
  return {};
}

lathe::Result<QuantizeReport> code_weights_of(Graph& graph, const BuildOptions& options, Math math,
                                              const std::function<bool(double)>& progress) {
  return WeightCoder(graph, options, math, progress).run();
}

}  // namespace lathe::compiler
