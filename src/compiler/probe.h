// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compiler/samples.h"
#include "passes/passes.h"
#include "runtime/session.h"

namespace lathe::compiler {

/// A graph as an engine of this machine that shows some of its f32 values: how a network is watched at the speed of
/// generated code.
class Probe {
 public:
  /// `values` of `graph`, which is copied; they may be inputs or outputs of it.
  static lathe::Result<Probe> make(const Graph& graph, std::span<const ValueId> values, Math math, int jobs);

  Status run(const Sample& sample);
  /// What the last run computed for values[i].
  [[nodiscard]] std::span<const float> value(size_t i) const;

  /// What the instructions are for: the nodes' names, joined with " + ".
  [[nodiscard]] std::vector<std::string> instructions() const;
  /// Runs the sample and lowers `least` (one an instruction, empty at first) to the nanoseconds that each took.
  Status time(const Sample& sample, std::vector<int64_t>& least);

 private:
  std::vector<std::byte> file_;
  std::unique_ptr<Session> session_;
  const Sample* sample_ = nullptr;
  std::vector<std::pair<bool, size_t>> places_;  ///< by value: whether it is an input, and which input or output
};

}  // namespace lathe::compiler
