// SPDX-License-Identifier: Apache-2.0
// Sliding-window pooling, channels last. A tile is some neighbouring outputs of a row by one vector of channels: the
// input columns under it are first combined over the window's rows, each loaded once, then across the window's columns.
//
//      input rows    | | | | | | | | |      stride 2, kernel 3: 9 columns serve 4 outputs
//      columns       c c c c c c c c c      vertical: one load and one operation an element
//      outputs        \o/ \o/ \o/ \o/       horizontal: 2 operations an output
#include "ops/pool.h"

#include <algorithm>

#include "codegen/blocks.h"
#include "codegen/line.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "ops/_data.h"
#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

constexpr int kMostOutputs = 8;  // of a tile
constexpr size_t kMostSpans = 7;

struct PoolEmitter {
  Emitter& e;
  Numeric num;
  const Epilogue& epilogue;
  const Axis &rows, &columns;
  int64_t rows_pad_end, columns_pad_end;
  bool max, average, include_pad;
  Dim width, channels;  ///< of the input
  DType out_type;
  bool out_wide = false;

  // of the output row
  Val source = nullptr;     ///< the image
  Val target = nullptr;     ///< the output row
  Val row_index = nullptr;  ///< of the output row's first pixel
  Taps taps{};
  Val first_row = nullptr;
  Val row_count = nullptr;

  int outputs_per_tile() const {
    const auto budget = static_cast<int64_t>(e.target.vector_registers) * 17 / 32;
    int n = kMostOutputs;
    while (n > 1 && (n - 1) * columns.stride + columns.reach() + 1 > budget) n /= 2;
    return n;
  }
  Val combine(Val acc, Val x) { return !acc ? x : max ? num.max(x, acc) : num.add(acc, x); }
  Val start(int n) { return max ? num.lowest(n) : num.constant(0, n); }

  /// Input element (row tap, column, channel).
  Val input(Val row_tap, Val column, Val c) {
    Val y = e.add(first_row, e.mul(row_tap, rows.dilation));
    Val pixel = e.add(e.mul(y, e.dim(width)), column);
    return e.at(source, e.mul(e.add(e.mul(pixel, e.dim(channels)), c), num.bytes()));
  }
  /// How many taps starting at `first` count, for an average.
  Val counted(const Axis& a, Val first, Val size, int64_t pad_end, const Taps& inside) {
    if (!include_pad) return e.sub(inside.hi, inside.lo);
    Val room = e.imax(e.sub(e.add(size, e.i64(pad_end)), first), e.i64(0));
    return e.imin(e.div(e.add(room, e.i64(a.dilation - 1)), e.i64(a.dilation)), e.i64(a.kernel));
  }
  Val divisor(Val column_count) { return num.from_index(e.imax(e.mul(row_count, column_count), e.i64(1))); }

  void finish(Val v, Val x, Val c, int n, Val mask, Val column_count) {
    if (average) v = num.div(v, e.splat(divisor(column_count), n));
    Val at = e.add(e.mul(x, e.dim(channels)), c);
    if (epilogue.empty() && out_type == num.memory) {
      num.store(v, e.at(target, e.mul(at, num.bytes())), mask);
    } else {
      v = epilogue.apply(e, 2, v, e.add(row_index, x), c, n, mask);
      e.store(out_type, v, e.at(target, e.mul(at, dtype_bits(out_type) / 8)), mask);
    }
  }

  /// One output whose taps are clipped when the kernel runs.
  void single(Val x) {
    const Taps across = clip_taps(e, columns, x, e.dim(width));
    Val first = e.sub(e.mul(x, columns.stride), e.i64(columns.pad));
    Val count = !average ? nullptr : counted(columns, first, e.dim(width), columns_pad_end, across);
    e.for_vectors(e.dim(channels), num.lanes(), [&](Val c, int n, Val mask) {
      Val v = e.loop(taps.lo, taps.hi, 1, {start(n)}, [&](Val ty, const Vals& a) {
        return e.loop(across.lo, across.hi, 1, a, [&](Val tx, const Vals& b) {
          return Vals{combine(b[0], num.load(input(ty, e.add(first, e.mul(tx, columns.dilation)), c), n, mask))};
        });
      })[0];
      finish(v, x, c, n, mask, count);
    });
  }

  /// `outputs` neighbouring outputs from x on; `known` is x where that is a number, and then columns outside the input
  /// are left out. Else all are inside.
  void tile(Val x, std::optional<int64_t> known, int outputs) {
    const auto span = static_cast<size_t>((outputs - 1) * columns.stride + columns.reach() + 1);
    Val first = e.sub(e.mul(x, columns.stride), e.i64(columns.pad));
    std::vector<bool> used(span, false);
    std::vector<int64_t> counts;
    for (int o = 0; o < outputs; ++o) {
      int64_t count = 0;
      for (int64_t k = 0; k < columns.kernel; ++k) {
        const int64_t at = o * columns.stride + k * columns.dilation;
        const int64_t column = known ? *known * columns.stride - columns.pad + at : 0;
        const bool inside = !known || (column >= 0 && column < width.value());
        if (inside) used[static_cast<size_t>(at)] = true;
        count += include_pad ? !known || column < width.value() + columns_pad_end : inside;
      }
      counts.push_back(count);
    }
    e.for_vectors(e.dim(channels), num.lanes(), [&](Val c, int n, Val mask) {
      std::vector<size_t> loaded;
      for (size_t i = 0; i < span; ++i)
        if (used[i]) loaded.push_back(i);
      const Vals sums = e.loop(taps.lo, taps.hi, 1, Vals(loaded.size(), start(n)), [&](Val ty, const Vals& a) {
        Vals next;
        for (size_t i = 0; i < loaded.size(); ++i)
          next.push_back(
              combine(a[i], num.load(input(ty, e.add(first, e.i64(static_cast<int64_t>(loaded[i]))), c), n, mask)));
        return next;
      });
      Vals level(span, nullptr);
      for (size_t i = 0; i < loaded.size(); ++i) level[loaded[i]] = sums[i];
      const Vals results =
          max && columns.stride == 1 && columns.dilation == 1 ? running(level, outputs) : windows(level, outputs);
      for (int o = 0; o < outputs; ++o) {
        Val v = results[static_cast<size_t>(o)];
        finish(v ? v : start(n), e.add(x, e.i64(o)), c, n, mask, e.i64(counts[static_cast<size_t>(o)]));
      }
    });
  }
  Vals windows(const Vals& column, int outputs) {
    Vals r;
    for (int o = 0; o < outputs; ++o) {
      Val v = nullptr;
      for (int64_t k = 0; k < columns.kernel; ++k) {
        Val w = column[static_cast<size_t>(o * columns.stride + k * columns.dilation)];
        if (w) v = combine(v, w);
      }
      r.push_back(v);
    }
    return r;
  }
  /// Maxima of all windows of a run: of widths 1, 2, 4 …, then two overlapping ones.
  Vals running(Vals column, int outputs) {
    const auto both = [&](Val x, Val y) { return !x ? y : !y ? x : combine(x, y); };
    size_t w = 1;
    const auto kernel = static_cast<size_t>(columns.kernel);
    for (; 2 * w <= kernel; w *= 2)
      for (size_t i = 0; i + w < column.size(); ++i) column[i] = both(column[i], column[i + w]);
    Vals r;
    for (size_t o = 0; o < static_cast<size_t>(outputs); ++o)
      r.push_back(w == kernel ? column[o] : both(column[o], column[o + kernel - w]));
    return r;
  }

  void row() {
    const int n = outputs_per_tile();
    const bool columns_fit = columns.reach() + 1 <= e.target.vector_registers * 3 / 4;
    if (!columns_fit) return e.for_each(e.i64(0), e.dim(columns.out), 1, [&](Val x) { single(x); });
    const auto out = columns.out.as_const(), in = width.as_const();
    if (out && in) {
      struct Span {
        int64_t x, tiles;
        int outputs;
        bool edge;
      };
      std::vector<Span> spans;
      for (int64_t x = 0; x < *out;) {
        const int k = static_cast<int>(std::min<int64_t>(n, *out - x));
        const bool edge =
            x * columns.stride - columns.pad < 0 || (x + k - 1) * columns.stride - columns.pad + columns.reach() >= *in;
        if (!edge && !spans.empty() && !spans.back().edge && spans.back().outputs == k)
          ++spans.back().tiles;
        else
          spans.push_back({x, 1, k, edge});
        x += k;
      }
      if (spans.size() <= kMostSpans) {
        for (const Span& s : spans) {
          if (s.edge)
            tile(e.i64(s.x), s.x, s.outputs);
          else
            e.for_each(e.i64(s.x), e.i64(s.x + s.tiles * s.outputs), s.outputs,
                       [&](Val x) { tile(x, std::nullopt, s.outputs); });
        }
        return;
      }
    }
    // Positions [0, left) and [right, end) touch padding.
    Val end = e.dim(columns.out);
    Val left = e.imin(e.i64(std::max<int64_t>(0, (columns.pad + columns.stride - 1) / columns.stride)), end);
    Val room = e.sub(e.dim(width), e.i64(columns.reach() + 1 - columns.pad));
    Val inside = e.b.CreateSelect(e.b.CreateICmpSLT(room, e.i64(0)), e.i64(0),
                                  e.add(e.div(e.imax(room, e.i64(0)), e.i64(columns.stride)), e.i64(1)));
    Val right = e.imax(left, e.imin(inside, end));
    Val whole = e.sub(right, e.rem(e.sub(right, left), e.i64(n)));
    e.for_each(e.i64(0), left, 1, [&](Val x) { single(x); });
    e.for_each(left, whole, n, [&](Val x) { tile(x, std::nullopt, n); });
    e.for_each(whole, end, 1, [&](Val x) { single(x); });
  }
};

}  // namespace

Status lower_pool(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Pool>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  const DType type = lowering.dtype(in);
  const bool max = op.kind == "max", average = op.kind == "average";
  const DType computed = op.kind == "sum" ? ops::sum_type(type, type) : ops::compute_type(type);
  if (x.size() != 4)
    return fail(Code::kUnsupported,
                "pooling over " + std::to_string(x.size() - 2) + " spatial dimensions is not generated yet");
  if (!Numeric::supports(type) || (average && !Numeric::is_float(type)))
    return fail(Code::kUnsupported, op.kind + " pooling of " + std::string(dtype_name(type)) + " is not generated yet");

  Axis rows{op.kernel[0], op.strides[0], op.dilations[0], op.pads[0], x[1], y[1]};
  Axis columns{op.kernel[1], op.strides[1], op.dilations[1], op.pads[1], x[2], y[2]};
  rows.settle(op.pads[0] <= 0 && op.pads[2] <= 0 && !op.ceil_mode);
  columns.settle(op.pads[1] <= 0 && op.pads[3] <= 0 && !op.ceil_mode);
  const Dim &width = x[2], &channels = x[3];

  Epilogue epilogue(lowering, node);
  Call call;
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.buffers.insert(call.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  std::vector<Dim> dims{y[0], y[1], y[2], x[1], x[2], x[3]};
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  call.scalars = Lowering::symbolic(dims);
  const int64_t work = lowering.typical(product(y)) * op.kernel[0] * op.kernel[1];
  const bool small = work * dtype_bits(type) / 8 <= kSmallBytes;
  call.tasks = small ? Dim(1) : y[0] * y[1];
  int outputs = 0;
  call.kernel = lowering.kernel("pool", call.scalars, [&](Emitter& e) {
    PoolEmitter p{e,       {e, type, computed},  epilogue, rows,     columns,          op.pads[2], op.pads[3], max,
                  average, op.count_include_pad, width,    channels, epilogue.result()};
    outputs = p.outputs_per_tile();
    const auto row = [&](const Vals& at) {
      Val image = e.mul(e.mul(e.mul(at[0], e.dim(x[1])), e.dim(width)), e.dim(channels));
      p.source = e.at(e.buf(0), e.mul(image, p.num.bytes()));
      p.row_index = e.mul(e.add(e.mul(at[0], e.dim(y[1])), at[1]), e.dim(y[2]));
      p.target = e.at(e.buf(1), e.mul(e.mul(p.row_index, e.dim(channels)), dtype_bits(epilogue.result()) / 8));
      p.first_row = e.sub(e.mul(at[1], rows.stride), e.i64(rows.pad));
      p.taps = clip_taps(e, rows, at[1], e.dim(x[1]));
      p.row_count = !average ? nullptr : p.counted(rows, p.first_row, e.dim(x[1]), op.pads[2], p.taps);
      p.row();
    };
    if (small)
      for_nest(e, {y[0], y[1]}, row);
    else
      for_tasks(e, {y[0], y[1]}, row);
    e.ret();
  });
  call.tactic = std::to_string(outputs) + "x1";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
