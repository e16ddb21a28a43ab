// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rewrite/edit.h"

namespace lathe::passes {

/// An operand of a node that a transpose sinks past: it takes Transpose(inverse(perm)) of `value`, seen as `shape`.
struct Operand {
  ValueId value = kNoId;
  rewrite::Perm perm;  ///< empty: the operand stays as it is
  Shape shape;         ///< of the value with leading ones up to the rank of perm
};

/// node(T(a), …) = Transpose(perm)(op(operands)).
struct Sink {
  std::shared_ptr<const Op> op;
  std::vector<Operand> operands;
  rewrite::Perm perm;
};

/// How Transpose(perm), whose result is `via`, sinks past its user; empty if it cannot. Changes nothing.
std::optional<Sink> plan_sink(const Graph& g, NodeId user, ValueId via, const rewrite::Perm& perm);
/// Adds the node of the plan and returns its result, still to be transposed.
Result<ValueId> apply_sink(Graph& g, NodeId user, const Sink& plan);

}  // namespace lathe::passes
