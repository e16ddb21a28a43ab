// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "codegen/lowering.h"

namespace lathe::codegen {

/// A value that passes from one graph into memory of another: into a branch's result, round a loop.
struct Move {
  BufferId from = kNone, to = kNone;
  Dim bytes;                                         ///< in the terms of the graph it comes from, as all below
  Dim room;                                          ///< bytes at `to`, where no symbol is set; else as `bytes`
  std::vector<std::pair<std::string, Dim>> defines;  ///< symbols of the other graph that its dimensions set
};

/// What calls of a node are named after where they work on values of a graph that it holds.
Node label(const Node& node);
/// `value` of `from` into `to`, which holds `target` of `into`.
Result<Move> move_into(Lowering& from, ValueId value, Lowering& into, ValueId target, BufferId to);
/// Adds the calls for moves of values of `from`. Those that set symbols happen in one instruction, after the others:
/// their sizes are those before any of the symbols changes.
Status lower_moves(Lowering& from, const Node& node, std::span<const Move> moves);

}  // namespace lathe::codegen
