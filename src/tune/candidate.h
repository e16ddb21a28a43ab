// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "codegen/lowering.h"
#include "runtime/session.h"

namespace lathe::tune {

/// `node` of `graph` alone: constants stay constants, all else becomes inputs; symbolic sizes and their ranges stay.
Result<std::unique_ptr<Graph>> single_node_graph(const Graph& graph, const Node& node);

/// A single-node graph as an engine in memory, with inputs made up at the typical sizes: ready to be timed.
class Candidate {
 public:
  /// kUnsupported: the node cannot run by itself (its inputs are of a type that cannot be made up).
  static Result<Candidate> make(const Graph& graph, const Target& target, const codegen::LoweringOptions& options);

  /// Runs once on this thread; nanoseconds of its processor time.
  Result<double> run();
  /// Whether output 0 of the last run is that of `other` within `tolerance` of the largest value.
  Result<bool> agrees_with(Candidate& other, double tolerance);

 private:
  std::vector<std::byte> file_;
  std::vector<std::vector<std::byte>> inputs_;
  std::unique_ptr<Session> session_;
};

}  // namespace lathe::tune
