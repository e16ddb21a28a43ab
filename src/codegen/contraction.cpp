// SPDX-License-Identifier: Apache-2.0
#include "codegen/contraction.h"

#include <algorithm>
#include <array>

#include "codegen/channelwise.h"

namespace lathe::codegen {

int64_t Contraction::taps() const {
  int64_t n = x.kernel;
  for (const Axis& a : outer) n *= a.kernel;
  return n;
}

Dim Contraction::image_count() const {
  Dim n = 1;
  for (const Batch& b : images) n = n * b.extent;
  return n;
}

Dim Contraction::lines() const {
  Dim n = 1;
  for (const Axis& a : outer) n = n * a.out;
  return n;
}

std::vector<Dim> Contraction::dims() const {
  std::vector<Dim> r = {a_x, a_k, k, columns, w_k, out_image, out_first, x.in, x.out};
  for (const Batch& b : images) r.insert(r.end(), {b.extent, b.a, b.w});
  for (size_t i = 0; i < outer.size(); ++i) r.insert(r.end(), {outer[i].in, outer[i].out, a_outer[i], out_outer[i]});
  return r;
}

bool Contraction::single_line() const { return outer.empty() && x.inside; }

std::string Schedule::str() const {
  return std::to_string(rows) + "x" + std::to_string(vectors) + (k_block ? " by " + std::to_string(k_block) : "");
}

namespace {

/// Partial sums of the rows that share a block of weights: at least one line.
int64_t sums_bytes(const Contraction& c, const Schedule& s, int lanes) {
  const int64_t row = int64_t{s.vectors} * lanes * dtype_bits(c.dtype) / 8;
  return std::max<int64_t>(16 << 10, c.single_line() ? 0 : c.x.out.value() * row);
}

/// The number of blocks that `blocks` tasks cover, as the kernel and its caller both compute it.
struct Blocks {
  Dim rows, columns;
};

Blocks blocks(const Contraction& c, const Schedule& s, int lanes) {
  const Dim row_units = c.single_line() ? c.x.out : c.lines();
  const Dim tiles = ceil_div(c.columns, s.vectors * lanes);
  return {ceil_div(row_units, s.row_block), ceil_div(tiles, s.column_block)};
}

class Generator {
 public:
  Generator(Emitter& emitter, const Contraction& contraction, const Schedule& schedule, const Epilogue& epi)
      : e(emitter),
        c(contraction),
        s(schedule),
        epilogue(epi),
        size(dtype_bits(c.dtype) / 8),
        w_size(dtype_bits(c.weights()) / 8),
        lanes(e.target.vector_bits / dtype_bits(c.dtype)) {}

  void run() {
    // Everything that is the same for all tasks, here where it dominates its uses.
    k_ = e.dim(c.k);
    columns_ = e.dim(c.columns);
    pitch_ = e.mul(columns_, c.groups);
    a_x_ = e.dim(c.a_x);
    a_k_ = e.dim(c.a_k);
    w_k_ = c.packed ? e.i64(int64_t{s.panel} * w_size) : e.dim(c.w_k);
    x_in_ = e.dim(c.x.in);
    x_out_ = e.dim(c.x.out);
    out_image_ = e.dim(c.out_image);
    out_first_ = e.dim(c.out_first);
    for (const auto& b : c.images) batch_.push_back({e.dim(b.extent), e.dim(b.a), e.dim(b.w)});
    for (size_t i = 0; i < c.outer.size(); ++i)
      outer_.push_back({e.dim(c.outer[i].in), e.dim(c.outer[i].out), e.dim(c.a_outer[i]), e.dim(c.out_outer[i])});
    const Blocks n = blocks(c, s, lanes);
    Val row_blocks = e.dim(n.rows), column_blocks = e.dim(n.columns), images = e.dim(c.image_count());
    if (s.k_block) sums_ = e.alloca_bytes(sums_bytes(c, s, lanes));
    if (s.k_block && (narrow() || c.coding)) wide_ = e.alloca_bytes(s.k_block * s.vectors * lanes * size);
    if (c.long_epilogue) spill_ = e.alloca_bytes(int64_t{s.rows} * s.vectors * lanes * size);
    e.for_each(e.begin(), e.end(), 1, [&](Val task) {
      // Tasks that share weights are neighbours.
      Val rest = task;
      const auto digit = [&](Val extent) {
        if (const auto* one = llvm::dyn_cast<llvm::ConstantInt>(extent); one && one->isOne()) return e.i64(0);
        Val d = e.rem(rest, extent);
        rest = e.div(rest, extent);
        return d;
      };
      Val row_block = digit(row_blocks), image = digit(images), column_block = digit(column_blocks);
      Val group = c.groups == 1 ? e.i64(0) : rest;
      task_body(image, group, row_block, column_block, column_blocks);
    });
    e.ret();
  }

 private:
  /// The columns of one tile.
  struct Strip {
    Val column;    ///< within the group
    Val absolute;  ///< column of the output
    int vectors;
    Vals masks;  ///< per vector; null: all lanes
    Val w;
    CodedStrip codes;
    std::vector<Vals> cached;  ///< the epilogue's per-column values
  };
  /// Where the weights of a step are, and how far the next step's are.
  struct Weights {
    Val at, step;
    bool narrow;  ///< as Contraction::stored says
  };
  [[nodiscard]] bool narrow() const { return c.weights() != c.dtype; }
  struct Outer {
    Val in, out, a, rows;
  };

  void task_body(Val image, Val group, Val row_block, Val column_block, Val column_blocks) {
    a_base_ = e.buf(0);
    Val w = e.buf(1);
    Val rest = image, row = e.add(out_first_, e.mul(image, out_image_));
    for (size_t i = batch_.size(); i-- > 0;) {
      Val index = i == 0 ? rest : e.rem(rest, batch_[i][0]);
      if (i) rest = e.div(rest, batch_[i][0]);
      a_base_ = e.at(a_base_, e.mul(index, batch_[i][1]));
      w = e.at(w, e.mul(index, batch_[i][2]));
    }
    a_base_ = e.at(a_base_, e.mul(e.mul(group, k_), a_k_));
    image_row_ = row;
    const int width = s.vectors * lanes;
    Val whole_tiles = e.div(columns_, e.i64(width));
    Val first = e.mul(column_block, s.column_block);
    Val last = e.imin(e.add(first, e.i64(s.column_block)), whole_tiles);
    Val group_column = e.mul(group, columns_);
    if (c.packed && !c.coding) {
      Val panels = e.div(e.add(columns_, e.i64(s.panel - 1)), e.i64(s.panel));
      w = e.at(w, e.mul(e.mul(e.mul(group, panels), e.mul(k_, c.taps())), int64_t{s.panel} * w_size));
    }
    if (c.coding) if_few([&] { prepare_rows(row_block); });
    const auto strip = [&](Val tile, int vectors, Vals masks) {
      Strip t{e.mul(tile, width), nullptr, vectors, std::move(masks), nullptr, {}, {}};
      t.absolute = e.add(group_column, t.column);
      if (c.coding) {
        t.codes = {e.at(w, e.mul(e.div(t.column, e.i64(s.panel)), c.coding->panel_bytes())),
                   e.rem(t.column, e.i64(s.panel)), vectors};
      } else if (c.packed) {
        Val panel = e.div(t.column, e.i64(s.panel)), within = e.rem(t.column, e.i64(s.panel));
        t.w =
            e.at(w, e.add(e.mul(e.mul(panel, e.mul(k_, c.taps())), int64_t{s.panel} * w_size), e.mul(within, w_size)));
      } else {
        t.w = e.at(w, e.mul(t.column, size));
      }
      for (int n = 0; n < vectors; ++n)
        t.cached.push_back(epilogue.column_values(e, 4, e.add(t.absolute, e.i64(int64_t{n} * lanes)), lanes,
                                                  t.masks[static_cast<size_t>(n)]));
      rows(t, row_block);
    };
    e.for_each(first, last, 1,
               [&](Val tile) { strip(tile, s.vectors, Vals(static_cast<size_t>(s.vectors), nullptr)); });
    Val is_last = e.b.CreateICmpEQ(column_block, e.sub(column_blocks, e.i64(1)));
    if (const auto columns = c.columns.as_const()) {
      const int64_t tail = *columns % width;
      if (tail == 0) return;
      const int vectors = static_cast<int>((tail + lanes - 1) / lanes);
      Vals masks(static_cast<size_t>(vectors), nullptr);
      if (tail % lanes) masks.back() = e.lane_mask(e.i64(tail % lanes), lanes);
      e.if_then(is_last, [&] { strip(whole_tiles, vectors, masks); });
    } else {
      Val tail = e.sub(columns_, e.mul(whole_tiles, width));
      e.if_then(e.b.CreateAnd(is_last, e.b.CreateICmpSGT(tail, e.i64(0))), [&] {
        Vals masks;
        for (int n = 0; n < s.vectors; ++n) masks.push_back(e.lane_mask(e.sub(tail, e.i64(int64_t{n} * lanes)), lanes));
        strip(whole_tiles, s.vectors, masks);
      });
    }
  }

  /// Where a tile lies.
  struct Place {
    Val a, row;              ///< of its line: the input, the row of the output
    std::vector<Taps> taps;  ///< of the outer axes, inside the input
    Val index;               ///< of its first position, counted from the first of all that are visited
  };

  void rows(const Strip& strip, Val row_block) {
    Val begin = e.mul(row_block, s.row_block);
    Val end = e.imin(e.add(begin, e.i64(s.row_block)), c.single_line() ? x_out_ : e.dim(c.lines()));
    if (c.coding) {
      if_few([&] { few_rows(strip, begin, end); });
      if (c.few_rows()) return;
      return unless_few([&] { blocked(strip, begin, end); });
    }
    if (s.k_block) return blocked(strip, begin, end);
    each_tile(begin, end, s.row_block, [&](const Site& site, const Place& place) {
      Vals acc;
      const Vals start = initial(strip);
      for (int m = 0; m < site.rows; ++m) acc.insert(acc.end(), start.begin(), start.end());
      acc = outer_taps(strip, site, place.taps, 0, input(site, place), strip.w, std::move(acc));
      finish(strip, site, e.add(place.row, e.mul(site.x, c.out_x)), acc);
    });
  }

  /// Visits lines [begin, end), or positions where there is only one line: a piece of a task's rows that begins at a
  /// multiple of `piece`.
  void each_tile(Val begin, Val end, int64_t piece, const std::function<void(const Site&, const Place&)>& visit) {
    if (c.single_line()) {
      const int64_t length = c.x.out.as_const().value_or(0);
      const int64_t last = length > 0 ? (length - 1) % s.row_block % piece + 1 : 0;
      walk_line(
          e, c.x, s.rows, begin, end, x_in_,
          [&](const Site& site) { visit(site, {a_base_, image_row_, {}, e.sub(site.x, begin)}); }, last);
      return;
    }
    e.for_each(begin, end, 1, [&](Val line) {
      Place place{a_base_, image_row_, std::vector<Taps>(c.outer.size()), nullptr};
      Val rest = line, first = e.mul(e.sub(line, begin), x_out_);
      for (size_t i = c.outer.size(); i-- > 0;) {
        Val at = i == 0 ? rest : e.rem(rest, outer_[i].out);
        if (i) rest = e.div(rest, outer_[i].out);
        place.a = e.at(place.a, e.mul(e.sub(e.mul(at, c.outer[i].stride), e.i64(c.outer[i].pad)), outer_[i].a));
        place.row = e.add(place.row, e.mul(at, outer_[i].rows));
        place.taps[i] = clip_taps(e, c.outer[i], at, outer_[i].in);
      }
      walk_line(e, c.x, s.rows, e.i64(0), x_out_, x_in_, [&](const Site& site) {
        place.index = e.add(first, site.x);
        visit(site, place);
      });
    });
  }

  /// The input that the first tap of the tile's first position reads.
  Val input(const Site& site, const Place& place) {
    return e.at(place.a, e.mul(e.sub(e.mul(site.x, c.x.stride), e.i64(c.x.pad)), a_x_));
  }

  /// A long reduction, one block of one tap's steps after the other: all rows meet the block's weights while those are
  /// in L1. Sums wait in memory meanwhile; they are added in the order of the whole reduction.
  void blocked(const Strip& strip, Val begin, Val end) {
    const int64_t vector_bytes = int64_t{lanes} * size, row_bytes = vector_bytes * strip.vectors;
    const int64_t unit = c.single_line() ? s.rows : 1, unit_rows = c.single_line() ? s.rows : c.x.out.value();
    const int64_t chunk = std::max<int64_t>(1, sums_bytes(c, s, lanes) / (row_bytes * unit_rows)) * unit;
    const auto sums_of = [&](Val index) { return e.at(sums_, e.mul(index, row_bytes)); };
    const auto load = [&](const Site& site, Val sums) {
      Vals acc;
      for (int i = 0; i < site.rows * strip.vectors; ++i)
        acc.push_back(e.load_aligned(c.dtype, e.at(sums, i * vector_bytes), lanes, lanes * size));
      return acc;
    };
    e.for_each(begin, end, chunk, [&](Val first) {
      Val stop = e.imin(e.add(first, e.i64(chunk)), end);
      const Vals start = initial(strip);
      Val positions = e.sub(stop, first);
      if (!c.single_line()) positions = e.mul(positions, x_out_);
      e.for_each(e.i64(0), positions, 1, [&](Val i) {
        for (int n = 0; n < strip.vectors; ++n)
          e.store(c.dtype, start[static_cast<size_t>(n)], e.at(sums_of(i), n * vector_bytes));
      });
      each_block(0, {}, e.i64(0), [&](const Vals& taps, Val tap, Val from, Val length) {
        Weights w{strip.w, w_k_, false};
        if (c.coding) {
          widen_codes(e, *c.coding, strip.codes, from, length, wide_);
          w = {wide_, e.i64(int64_t{strip.vectors} * lanes * size), false};
        } else {
          w = {e.at(strip.w, e.mul(e.add(e.mul(tap, k_), from), w_k_)), w_k_, narrow()};
          if (narrow()) w = widen_block(strip, w, length);
        }
        each_tile(first, stop, chunk, [&](const Site& site, const Place& place) {
          Val a = e.at(input(site, place), e.mul(from, a_k_));
          const auto sum = [&](const std::vector<bool>& active) {
            Val sums = sums_of(place.index);
            const Vals acc = reduce(strip, site.rows, active, a, w, length, load(site, sums));
            for (size_t i = 0; i < acc.size(); ++i)
              if (active.empty() || active[i / static_cast<size_t>(strip.vectors)])
                e.store(c.dtype, acc[i], e.at(sums, static_cast<int64_t>(i) * vector_bytes));
          };
          Val inside = nullptr;
          const auto require = [&](Val tap_of, const Taps& range) {
            Val in = e.b.CreateAnd(e.b.CreateICmpSGE(tap_of, range.lo), e.b.CreateICmpSLT(tap_of, range.hi));
            inside = inside ? e.b.CreateAnd(inside, in) : in;
          };
          for (size_t i = 0; i < place.taps.size(); ++i) {
            if (!c.outer[i].inside) require(taps[i], place.taps[i]);
            a = e.at(a, e.mul(taps[i], e.mul(outer_[i].a, c.outer[i].dilation)));
          }
          a = e.at(a, e.mul(taps.back(), e.mul(a_x_, c.x.dilation)));
          Val outer_inside = inside;
          for (const Site::Run& run : site.runs) {
            inside = outer_inside;
            if (!run.count || *run.count < c.x.kernel) require(taps.back(), run.taps);
            if (inside)
              e.if_then(inside, [&] { sum(run.rows); });
            else
              sum(run.rows);
          }
        });
      });
      each_tile(first, stop, chunk, [&](const Site& site, const Place& place) {
        finish(strip, site, e.add(place.row, e.mul(site.x, c.out_x)), load(site, sums_of(place.index)));
      });
    });
  }

  /// All rows that share a block of weights share the work of widening it.
  Weights widen_block(const Strip& strip, const Weights& w, Val length) {
    const int64_t vector_bytes = int64_t{lanes} * size, row_bytes = vector_bytes * strip.vectors;
    e.for_each(e.i64(0), length, 1, [&](Val i) {
      for (int n = 0; n < strip.vectors; ++n)
        e.store(c.dtype, load_weights(strip, w, e.at(w.at, e.mul(i, w.step)), n),
                e.at(wide_, e.add(e.mul(i, row_bytes), e.i64(n * vector_bytes))));
    });
    return {wide_, e.i64(row_bytes), false};
  }

  // --- weights in codes (coded.h)

  Val few() { return e.b.CreateICmpSLE(x_out_, e.i64(Contraction::kFewRows)); }
  void if_few(const std::function<void()>& then) {
    if (c.few_rows())
      then();
    else if (!c.x.out.is_const())
      e.if_then(few(), then);
  }
  void unless_few(const std::function<void()>& then) {
    if (c.x.out.is_const())
      then();
    else
      e.if_then(e.b.CreateNot(few()), then);
  }

  /// Rows of a task as few_rows() reads them, in the thread's scratch memory.
  void prepare_rows(Val row_block) {
    Val begin = e.mul(row_block, s.row_block), end = e.imin(e.add(begin, e.i64(s.row_block)), x_out_);
    e.for_each(begin, end, 1, [&](Val m) {
      prepare_row(e, *c.coding, e.at(a_base_, e.mul(m, a_x_)),
                  e.at(e.scratch(), e.mul(e.sub(m, begin), prepared_bytes(*c.coding))));
    });
  }

  void few_rows(const Strip& strip, Val begin, Val end) {
    e.for_each(begin, end, 1, [&](Val m) {
      Val a = e.at(e.scratch(), e.mul(e.sub(m, begin), prepared_bytes(*c.coding)));
      const Vals sums = multiply_codes(e, *c.coding, strip.codes, a, initial(strip));
      finish(strip, {m, 1, {}}, e.add(image_row_, e.mul(m, c.out_x)), sums);
    });
  }

  /// Vector n of a step's weights, which begin at p.
  Val load_weights(const Strip& strip, const Weights& w, Val p, int n) {
    const auto bytes = int64_t{n} * lanes * (w.narrow ? w_size : size);
    p = e.at(p, bytes);
    if (!c.packed) return e.load(c.dtype, p, lanes, strip.masks[static_cast<size_t>(n)]);
    if (!w.narrow) return e.load_aligned(c.dtype, p, lanes, lanes * size);
    Val v = e.load_aligned(c.weights(), p, lanes, lanes * w_size);
    ProgramBuilder widen;
    return e.program(widen.finish(cast(widen.input(c.weights()), c.dtype)), {&v, 1}, lanes);
  }

  /// Visits every tap (of each axis; all axes in one number) and every block of its steps.
  void each_block(size_t axis, const Vals& taps, Val tap,
                  const std::function<void(const Vals& taps, Val tap, Val from, Val length)>& visit) {
    if (axis <= c.outer.size()) {
      const int64_t kernel = axis < c.outer.size() ? c.outer[axis].kernel : c.x.kernel;
      e.for_each(e.i64(0), e.i64(kernel), 1, [&](Val at) {
        Vals all = taps;
        all.push_back(at);
        each_block(axis + 1, all, e.add(e.mul(tap, kernel), at), visit);
      });
      return;
    }
    const int64_t k = c.k.value(), whole = k / s.k_block * s.k_block;
    e.for_each(e.i64(0), k_, s.k_block, [&](Val from) {
      visit(taps, tap, from, whole == k ? e.i64(s.k_block) : e.imin(e.i64(s.k_block), e.sub(k_, from)));
    });
  }

  /// What the sums of a row begin with.
  Vals initial(const Strip& strip) {
    Vals start;
    for (int n = 0; n < strip.vectors; ++n)
      start.push_back(c.bias ? e.load(c.dtype,
                                      e.at(e.buf(2), e.mul(e.add(strip.absolute, e.i64(int64_t{n} * lanes)), size)),
                                      lanes, strip.masks[static_cast<size_t>(n)])
                             : e.constant(c.dtype, 0, lanes));
    return start;
  }

  Vals outer_taps(const Strip& strip, const Site& site, const std::vector<Taps>& taps, size_t axis, Val a, Val w,
                  Vals acc) {
    if (axis == taps.size()) return inner_taps(strip, site, a, w, std::move(acc));
    Val step = e.mul(outer_[axis].a, c.outer[axis].dilation);
    int64_t below = c.x.kernel;
    for (size_t i = axis + 1; i < taps.size(); ++i) below *= c.outer[i].kernel;
    Val w_step = e.mul(e.mul(k_, below), w_k_);
    return e.loop(taps[axis].lo, taps[axis].hi, 1, std::move(acc), [&](Val tap, const Vals& in) {
      return outer_taps(strip, site, taps, axis + 1, e.at(a, e.mul(tap, step)), e.at(w, e.mul(tap, w_step)), in);
    });
  }

  /// Taps along the line. Where neighbouring taps read neighbouring memory (channels last, one group, no dilation)
  /// taps and channels are one long reduction.
  Vals inner_taps(const Strip& strip, const Site& site, Val a, Val w, Vals acc) {
    Val step = e.mul(a_x_, c.x.dilation), w_step = e.mul(k_, w_k_);
    const bool dense = c.x.kernel > 1 && c.x.dilation == 1 && c.a_x == c.k * c.a_k;
    for (const Site::Run& run : site.runs) {
      if (dense || run.count == 1) {
        Val length = e.mul(e.sub(run.taps.hi, run.taps.lo), k_);
        acc = reduce(strip, site.rows, run.rows, e.at(a, e.mul(run.taps.lo, step)),
                     {e.at(w, e.mul(run.taps.lo, w_step)), w_k_, narrow()}, length, std::move(acc));
      } else {
        acc = e.loop(run.taps.lo, run.taps.hi, 1, std::move(acc), [&](Val tap, const Vals& in) {
          return reduce(strip, site.rows, run.rows, e.at(a, e.mul(tap, step)),
                        {e.at(w, e.mul(tap, w_step)), w_k_, narrow()}, k_, in);
        });
      }
    }
    return acc;
  }

  Vals reduce(const Strip& strip, int rows_here, const std::vector<bool>& active, Val a, const Weights& w, Val length,
              Vals acc) {
    int unroll = s.unroll;
    const auto* known = llvm::dyn_cast<llvm::ConstantInt>(length);
    if (known && known->getSExtValue() <= unroll)
      unroll = static_cast<int>(std::max<int64_t>(1, known->getSExtValue()));
    Vals a_rows;
    Val row_step = e.mul(a_x_, c.x.stride);
    for (int m = 0; m < rows_here; ++m) a_rows.push_back(e.mul(row_step, m));
    const auto steps = [&](Val i, int count, Vals in) {
      Val a_i = e.at(a, e.mul(i, a_k_)), w_i = e.at(w.at, e.mul(i, w.step));
      const bool lanes_of_32 = c.dtype == DType::kF32 || c.steps != Steps::kPlain;
      const bool lane_loads = e.target.lane_fma && count % 4 == 0 && lanes_of_32 && c.a_k.equals(4);
      Vals quad(static_cast<size_t>(rows_here), nullptr);
      for (int u = 0; u < count; ++u) {
        Vals wv;
        Val w_u = e.at(w_i, e.mul(w.step, u));
        for (int n = 0; n < strip.vectors; ++n) wv.push_back(load_weights(strip, w, w_u, n));
        for (int m = 0; m < rows_here; ++m) {
          const auto um = static_cast<size_t>(m);
          if (!active.empty() && !active[um]) continue;
          Val p = e.at(e.at(a_i, a_rows[um]), e.mul(a_k_, u));
          Val x = nullptr;
          if (lane_loads) {
            if (u % 4 == 0) quad[um] = e.load(c.dtype, p, 4);
            x = e.b.CreateShuffleVector(quad[um], std::vector<int>(static_cast<size_t>(lanes), u % 4));
          } else {
            x = e.splat(e.load(c.dtype, p), lanes);
          }
          if (c.flip) x = e.b.CreateXor(x, e.constant_int(DType::kI32, 0x80808080, lanes));
          for (int n = 0; n < strip.vectors; ++n) {
            Val& sum = in[um * static_cast<size_t>(strip.vectors) + static_cast<size_t>(n)];
            Val y = wv[static_cast<size_t>(n)];
            sum = dtype_info(c.dtype).is_float ? e.fma(x, y, sum)
                  : c.steps == Steps::kPlain   ? e.b.CreateAdd(sum, e.b.CreateMul(x, y))
                                               : add_products(e, c.steps, sum, x, y);
          }
        }
      }
      return in;
    };
    Val whole = unroll == 1 ? length : e.sub(length, e.rem(length, e.i64(unroll)));
    acc = e.loop(e.i64(0), whole, unroll, std::move(acc), [&](Val i, const Vals& in) { return steps(i, unroll, in); });
    if (unroll == 1) return acc;
    if (known) {
      const auto rest = static_cast<int>(known->getSExtValue() % unroll);
      return rest ? steps(whole, rest, std::move(acc)) : acc;
    }
    if (const auto k = c.k.as_const(); k && *k % unroll == 0)
      return acc;  // a multiple of k, or of whole unrolled steps
    return e.loop(whole, length, 1, std::move(acc), [&](Val i, const Vals& in) { return steps(i, 1, in); });
  }

  void finish(const Strip& strip, const Site& site, Val row0, const Vals& acc) {
    const DType result = epilogue.result();
    const int64_t out_size = dtype_bits(result) / 8;
    Val row_bytes = e.mul(pitch_, out_size);
    Val out = e.at(e.buf(3), e.add(e.mul(row0, row_bytes), e.mul(strip.absolute, out_size)));
    const auto store_row = [&](Val m, const Vals& values) {
      Val offset = e.mul(m, c.out_x);
      Val row = e.add(row0, offset), to = e.at(out, e.mul(offset, row_bytes));
      for (int n = 0; n < strip.vectors; ++n) {
        const auto un = static_cast<size_t>(n);
        const int64_t shift = int64_t{n} * lanes;
        Val v = epilogue.apply(e, 4, values[un], row, e.add(strip.absolute, e.i64(shift)), lanes, strip.masks[un],
                               &strip.cached[un]);
        e.store(result, v, e.at(to, shift * out_size), strip.masks[un]);
      }
    };
    const auto vectors = static_cast<size_t>(strip.vectors);
    if (!c.long_epilogue || site.rows == 1) {
      for (int m = 0; m < site.rows; ++m) {
        const auto first = acc.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(m) * vectors);
        store_row(e.i64(m), Vals(first, first + strip.vectors));
      }
      return;
    }
    const int64_t bytes = int64_t{lanes} * size;
    for (size_t i = 0; i < acc.size(); ++i) e.store(c.dtype, acc[i], e.at(spill_, static_cast<int64_t>(i) * bytes));
    e.for_each(e.i64(0), e.i64(site.rows), 1, [&](Val m) {
      Vals values;
      for (int n = 0; n < strip.vectors; ++n)
        values.push_back(
            e.load(c.dtype, e.at(spill_, e.add(e.mul(m, strip.vectors * bytes), e.i64(n * bytes))), lanes));
      store_row(m, values);
    });
  }

  Emitter& e;
  const Contraction& c;
  const Schedule& s;
  const Epilogue& epilogue;
  const int size, w_size, lanes;
  Val k_ = nullptr, columns_ = nullptr, pitch_ = nullptr, a_x_ = nullptr, a_k_ = nullptr, w_k_ = nullptr;
  Val x_in_ = nullptr, x_out_ = nullptr, out_image_ = nullptr, out_first_ = nullptr;
  Val a_base_ = nullptr, image_row_ = nullptr, spill_ = nullptr, sums_ = nullptr, wide_ = nullptr;
  std::vector<std::array<Val, 3>> batch_;
  std::vector<Outer> outer_;
};

}  // namespace

void emit_contraction(Emitter& e, const Contraction& c, const Schedule& s, const Epilogue& epilogue) {
  Generator(e, c, s, epilogue).run();
}

Status call_contraction(Lowering& lowering, const Node& node, const Contraction& contraction, const Schedule& s,
                        BufferId a, BufferId w, BufferId bias, const std::string& name, BufferId out) {
  Contraction c = contraction;
  c.bias = bias != kNone;
  Node plain = node;
  if (out != kNone) plain.epilogue = {};
  c.long_epilogue = is_long_epilogue(plain.epilogue);
  const Epilogue epilogue(lowering, plain);
  const int lanes = lowering.target.vector_bits / dtype_bits(c.dtype);
  const Blocks n = blocks(c, s, lanes);
  std::vector<Dim> dims = c.dims();
  dims.insert(dims.end(), {n.rows, n.columns, c.image_count(), c.lines()});
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.kernel = lowering.kernel(name, call.scalars, [&](Emitter& e) { emit_contraction(e, c, s, epilogue); });
  call.buffers = {a, w, bias, out == kNone ? lowering.buffer(node.outputs[0]) : out};
  call.buffers.insert(call.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  call.tasks = n.rows * n.columns * c.image_count() * Dim(c.groups);
  call.tactic = name + " " + s.str();
  if (c.coding) call.tactic += ", " + c.coding->str() + " weights";
  if (c.coding && (c.few_rows() || !c.x.out.is_const()))
    call.scratch_bytes = Contraction::kFewRows * prepared_bytes(*c.coding);
  if (c.weights() != c.dtype) call.tactic += ", " + std::string(dtype_name(c.weights())) + " weights";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
