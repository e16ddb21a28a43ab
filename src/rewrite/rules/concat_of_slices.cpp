// SPDX-License-Identifier: Apache-2.0
// x → Slice, Slice, … → Concat(…, those in the order of x without gaps, …)      becomes      Concat(…, x, …), or x
// alone Where the run covers a part of x, it becomes one slice.
#include "ops/concat.h"
#include "ops/slice.h"
#include "rewrite/edit.h"
#include "rewrite/rule.h"

namespace lathe::rewrite {

namespace {

struct Piece {
  ValueId whole = kNoId;  // kNoId: not a slice
  int64_t begin = 0, end = 0;
};

Piece piece_of(const Graph& g, ValueId v, int64_t axis) {
  if (!made_by<ops::Slice>(g, v)) return {};
  const auto range = slice_range(g, g.value(v).producer);
  return range && range->axis == axis ? Piece{source(g, v), range->begin, range->end} : Piece{};
}

Result<bool> apply(Graph& g, NodeId n) {
  const auto* concat = g.node(n).as<ops::Concat>();
  const auto inputs = g.node(n).inputs;
  std::vector<ValueId> joined;
  std::vector<Piece> pieces;
  for (const ValueId v : inputs) pieces.push_back(piece_of(g, v, concat->axis));
  bool changed = false;
  for (size_t i = 0; i < pieces.size();) {
    size_t j = i + 1;
    Piece run = pieces[i];
    while (j < pieces.size() && run.whole != kNoId && pieces[j].whole == run.whole && pieces[j].begin == run.end)
      run.end = pieces[j++].end;
    const bool all = run.whole != kNoId && run.begin == 0 &&
                     g.value(run.whole).shape[static_cast<size_t>(concat->axis)].equals(run.end);
    if (j == i + 1) {
      joined.push_back(inputs[i]);
    } else {
      changed = true;
      ValueId v = run.whole;
      if (!all) {
        LATHE_TRY(v, slice(g, run.whole, {concat->axis, run.begin, run.end}, g.node(n).name));
      }
      joined.push_back(v);
    }
    i = j;
  }
  if (!changed) return false;
  ValueId y = joined[0];
  if (joined.size() > 1) {
    LATHE_TRY(y, g.add(g.node(n).op, joined, g.node(n).name));
  }
  replace_node(g, n, y);
  return true;
}

}  // namespace

const Rule& rule_concat_of_slices() {
  static const Rule rule{"concat_of_slices", Exactness::kExact, "Concat", apply};
  return rule;
}

}  // namespace lathe::rewrite
