// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "compiler/samples.h"
#include "ir/graph.h"
#include "lathe/compiler.hpp"
#include "passes/passes.h"
#include "quant/agreement.h"

namespace lathe::compiler {

/// How near other versions of a float network come to its f32 outputs. What the network itself gives for a set of
/// samples is computed once. Not thread-safe.
class Comparison {
 public:
  /// Keeps a reference to `graph`, which must not change while networks are compared.
  Comparison(const Graph& graph, Math math, int jobs);

  /// The outputs that are compared: those of f32.
  [[nodiscard]] const std::vector<ValueId>& outputs() const { return outputs_; }
  /// By output, over all samples. `other` has the network's outputs in its order, under any id.
  lathe::Result<std::vector<quant::Agreement>> with(const Graph& other, const std::vector<const Sample*>& samples);
  /// The worst output's loss in percent.
  static double loss(std::span<const quant::Agreement> agreement);
  /// Sets the report's loss and outputs.
  void report(std::span<const quant::Agreement> agreement, QuantizeReport& report) const;

 private:
  using Values = std::vector<std::vector<float>>;  ///< of all outputs for the first sample, then for the next …
  lathe::Result<const Values*> wanted(const std::vector<const Sample*>& samples);

  const Graph& graph_;
  Math math_;
  int jobs_;
  std::vector<size_t> places_;  ///< among the network's outputs
  std::vector<ValueId> outputs_;
  std::map<std::pair<const Sample*, size_t>, Values> wanted_;
};

}  // namespace lathe::compiler
