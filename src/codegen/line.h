// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "codegen/emitter.h"

namespace lathe::codegen {

/// One dimension of a sliding window: output position x reads input positions x * stride - pad + tap * dilation.
struct Axis {
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad = 0;  ///< in front; may be negative
  Dim in = 1, out = 1;
  /// No output position reaches outside the input.
  bool inside = true;

  [[nodiscard]] int64_t reach() const { return (kernel - 1) * dilation; }
  /// Sets `inside` from what is known: true needs constant sizes, or `no_padding` by the operator's shape rule.
  void settle(bool no_padding);
};

/// Taps [lo, hi) of one axis.
struct Taps {
  Val lo, hi;
};
/// The taps of `axis` that position `x` finds inside the input; `size`: axis.in.
Taps clip_taps(Emitter& e, const Axis& axis, Val x, Val size);

/// A run of neighbouring output positions of a line, computed together.
struct Site {
  Val x;     ///< the first position
  int rows;  ///< how many
  /// Consecutive taps and which rows they serve. The runs of a site follow each other.
  struct Run {
    Taps taps;
    std::vector<bool> rows;        ///< empty: all
    std::optional<int64_t> count;  ///< number of taps, where known
  };
  std::vector<Run> runs;
};

/// Covers output positions [begin, end) of a line with tiles of `rows` positions. Where every tap is inside the input
/// tiles are all alike; lines that touch padding are covered whole: statically known ones get a tile for each edge,
/// with the taps that fall outside left out, others get single positions whose taps are clipped when the kernel runs.
/// `size`: axis.in. Where a line of known length is walked in pieces, all but the last are whole tiles, and the last
/// has `last_piece` positions (0: the line is one piece).
void walk_line(Emitter& e, const Axis& axis, int rows, Val begin, Val end, Val size,
               const std::function<void(const Site&)>& tile, int64_t last_piece = 0);

/// The tiles of a line: `whole` ones of `rows` positions from its begin on, then `rest`.
struct Tiles {
  int64_t whole = 0;
  std::vector<int> rest;
};
/// As walk_line makes them of `length` positions where none touches padding. `known`: the compiler knows the length; a
/// short rest and the tile before it are then divided evenly, since small tiles wait for the latency of their sums.
Tiles line_tiles(int64_t length, int rows, bool known);

}  // namespace lathe::codegen
