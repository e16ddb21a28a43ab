// SPDX-License-Identifier: Apache-2.0
#include "compiler/comparison.h"

#include <algorithm>

#include "compiler/probe.h"

namespace lathe::compiler {

using quant::Agreement;

Comparison::Comparison(const Graph& graph, Math math, int jobs) : graph_(graph), math_(math), jobs_(jobs) {
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    if (graph.value(graph.outputs[i]).dtype != DType::kF32) continue;
    places_.push_back(i);
    outputs_.push_back(graph.outputs[i]);
  }
}

lathe::Result<const Comparison::Values*> Comparison::wanted(const std::vector<const Sample*>& samples) {
  Values& cached = wanted_[{samples[0], samples.size()}];
  if (!cached.empty()) return &cached;
  LATHE_TRY(Probe probe, Probe::make(graph_, outputs_, math_, jobs_));
  for (const Sample* s : samples) {
    LATHE_CHECK(probe.run(*s));
    for (size_t k = 0; k < outputs_.size(); ++k) cached.emplace_back(probe.value(k).begin(), probe.value(k).end());
  }
  return &cached;
}

lathe::Result<std::vector<Agreement>> Comparison::with(const Graph& other, const std::vector<const Sample*>& samples) {
  std::vector<Agreement> r(outputs_.size());
  if (outputs_.empty() || samples.empty()) return r;
  LATHE_TRY(const Values* reference, wanted(samples));
  std::vector<ValueId> theirs;
  for (const size_t place : places_) theirs.push_back(other.outputs[place]);
  LATHE_TRY(Probe probe, Probe::make(other, theirs, math_, jobs_));
  size_t at = 0;
  for (const Sample* s : samples) {
    LATHE_CHECK(probe.run(*s));
    for (size_t k = 0; k < r.size(); ++k) r[k].add((*reference)[at++], probe.value(k));
  }
  return r;
}

double Comparison::loss(std::span<const Agreement> agreement) {
  double worst = 0;
  for (const Agreement& a : agreement) worst = std::max(worst, 100 * (1 - a.cosine()));
  return worst;
}

void Comparison::report(std::span<const Agreement> agreement, QuantizeReport& report) const {
  report.loss = loss(agreement);
  for (size_t k = 0; k < agreement.size(); ++k)
    report.outputs.push_back(
        {graph_.output_names[places_[k]], agreement[k].snr(), agreement[k].cosine(), agreement[k].worst()});
}

}  // namespace lathe::compiler
