// SPDX-License-Identifier: Apache-2.0
#include "codegen/line.h"

#include <algorithm>

namespace lathe::codegen {

namespace {

constexpr size_t kMaxEdgeTiles = 5;  // more would cost more code than they save

int64_t ceil_div64(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

Val ceil_div_val(Emitter& e, Val a, int64_t b) { return b == 1 ? a : e.div(e.add(a, e.i64(b - 1)), e.i64(b)); }

Site whole_site(Emitter& e, const Axis& axis, Val x, int rows) {
  return {x, rows, {{{e.i64(0), e.i64(axis.kernel)}, {}, axis.kernel}}};
}

/// The tiles of a line of `length` positions, or of halving sizes where that is not known. `last_piece`: as walk_line.
void walk_inside(Emitter& e, const Axis& axis, int rows, Val begin, Val end, std::optional<int64_t> length,
                 int64_t last_piece, const std::function<void(const Site&)>& tile) {
  if (length) {
    const int64_t piece = last_piece ? last_piece : *length;
    const auto [count, rest] = line_tiles(piece, rows, true);
    // Only the last piece ends where the line does; all others are whole tiles.
    const int64_t rest_begin = *length - piece + count * rows;
    Val whole = rest.empty() ? end : e.imin(end, e.i64(rest_begin));
    e.for_each(begin, whole, rows, [&](Val x) { tile(whole_site(e, axis, x, rows)); });
    if (rest.empty()) return;
    const auto finish = [&, &rest = rest] {
      if (rest.size() == 2 && rest[0] == rest[1]) {
        e.for_each(whole, end, rest[0], [&](Val x) { tile(whole_site(e, axis, x, rest[0])); });
        return;
      }
      int64_t at = rest_begin;
      for (const int n : rest) {
        tile(whole_site(e, axis, e.i64(at), n));
        at += n;
      }
    };
    if (piece == *length)
      finish();
    else
      e.if_then(e.b.CreateICmpSLT(whole, end), finish);
    return;
  }
  Val whole = e.sub(end, e.rem(e.sub(end, begin), e.i64(rows)));
  e.for_each(begin, whole, rows, [&](Val x) { tile(whole_site(e, axis, x, rows)); });
  Val x = whole;
  for (int n = rows; n > 1;) {
    n = (n + 1) / 2;
    x = e.if_else(
        e.b.CreateICmpSLE(e.add(x, e.i64(n)), end),
        [&] {
          tile(whole_site(e, axis, x, n));
          return Vals{e.add(x, e.i64(n))};
        },
        [&] { return Vals{x}; })[0];
  }
}

/// A tile whose place is known: neighbouring taps that serve the same rows make one run.
Site edge_site(Emitter& e, const Axis& axis, int64_t size, int64_t x, int rows) {
  Site site{e.i64(x), rows, {}};
  std::vector<bool> last;
  int64_t from = 0;
  const auto close = [&](int64_t to) {
    if (std::find(last.begin(), last.end(), true) == last.end()) return;
    const bool all = std::find(last.begin(), last.end(), false) == last.end();
    site.runs.push_back({{e.i64(from), e.i64(to)}, all ? std::vector<bool>{} : last, to - from});
  };
  for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    std::vector<bool> in;
    for (int m = 0; m < rows; ++m) {
      const int64_t at = (x + m) * axis.stride - axis.pad + tap * axis.dilation;
      in.push_back(at >= 0 && at < size);
    }
    if (in != last) {
      close(tap);
      last = in;
      from = tap;
    }
  }
  close(axis.kernel);
  return site;
}

}  // namespace

void Axis::settle(bool no_padding) {
  inside = no_padding;
  if (in.is_const() && out.is_const())
    inside = out.value() <= 0 || (pad <= 0 && (out.value() - 1) * stride - pad + reach() < in.value());
}

Taps clip_taps(Emitter& e, const Axis& axis, Val x, Val size) {
  if (axis.inside) return {e.i64(0), e.i64(axis.kernel)};
  Val first = e.sub(e.mul(x, axis.stride), e.i64(axis.pad));
  Val lo = ceil_div_val(e, e.imax(e.sub(e.i64(0), first), e.i64(0)), axis.dilation);
  Val hi = e.imin(ceil_div_val(e, e.imax(e.sub(size, first), e.i64(0)), axis.dilation), e.i64(axis.kernel));
  return {lo, e.imax(lo, hi)};
}

Tiles line_tiles(int64_t length, int rows, bool known) {
  Tiles t{length / rows, {}};
  auto rest = static_cast<int>(length % rows);
  if (known) {
    if (rest == 0) return t;
    if (rest * 2 <= rows && t.whole > 0) {
      --t.whole;
      rest += rows;
      t.rest.push_back((rest + 1) / 2);
      rest /= 2;
    }
    t.rest.push_back(rest);
    return t;
  }
  for (int n = rows; n > 1;) {
    n = (n + 1) / 2;
    if (rest >= n) {
      t.rest.push_back(n);
      rest -= n;
    }
  }
  return t;
}

void walk_line(Emitter& e, const Axis& axis, int rows, Val begin, Val end, Val size,
               const std::function<void(const Site&)>& tile, int64_t last_piece) {
  const auto length = axis.out.as_const();
  if (axis.inside) {
    walk_inside(e, axis, rows, begin, end, length, last_piece, tile);
    return;
  }
  const auto input = axis.in.as_const();
  if (length && input) {
    struct Span {
      int64_t x;
      int rows;
      int64_t tiles;  ///< > 1, or alike inside: a loop
      bool edge;
    };
    std::vector<Span> spans;
    size_t edges = 0;
    int64_t at = 0;
    const auto add = [&](int n) {
      const bool edge =
          at * axis.stride - axis.pad < 0 || (at + n - 1) * axis.stride - axis.pad + axis.reach() >= *input;
      if (!edge && !spans.empty() && !spans.back().edge && spans.back().rows == n)
        ++spans.back().tiles;
      else
        spans.push_back({at, n, 1, edge});
      edges += edge;
      at += n;
    };
    const Tiles tiles = line_tiles(*length, rows, true);
    for (int64_t i = 0; i < tiles.whole; ++i) add(rows);
    for (const int n : tiles.rest) add(n);
    if (edges <= kMaxEdgeTiles) {
      for (const Span& s : spans) {
        if (s.edge)
          tile(edge_site(e, axis, *input, s.x, s.rows));
        else
          e.for_each(e.i64(s.x), e.i64(s.x + s.tiles * s.rows), s.rows,
                     [&](Val x) { tile(whole_site(e, axis, x, s.rows)); });
      }
      return;
    }
  }
  // Positions [0, left) and [right, end) touch padding.
  const int64_t first = std::max<int64_t>(0, ceil_div64(axis.pad, axis.stride));
  Val left = e.imin(e.i64(first), end);
  Val room = e.add(size, e.i64(axis.pad - axis.reach() - 1));  // where the last window may start, counted from the pad
  Val last = e.b.CreateSelect(e.b.CreateICmpSLT(room, e.i64(0)), e.i64(0),
                              e.add(e.div(e.imax(room, e.i64(0)), e.i64(axis.stride)), e.i64(1)));
  Val right = e.imax(left, e.imin(last, end));
  const auto clipped = [&](Val x) { tile({x, 1, {{clip_taps(e, axis, x, size), {}, std::nullopt}}}); };
  e.for_each(begin, left, 1, clipped);
  walk_inside(e, axis, rows, left, right, std::nullopt, 0, tile);
  e.for_each(right, end, 1, clipped);
}

}  // namespace lathe::codegen
