// SPDX-License-Identifier: Apache-2.0
// Reductions. Dimensions are merged into alternating kept and reduced groups. Where the innermost group is reduced, the
// rows form: vectors run along it and their lanes are summed at the end. Where it is kept, the columns form: vectors
// run over outputs and the reduced groups are loops around them; many columns of much data wait in scratch, so that
// memory is read along its rows. The order of summation follows from the shape alone.
#include "ops/reduce.h"

#include <algorithm>
#include <array>

#include "codegen/blocks.h"
#include "codegen/elementary.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"

namespace lathe::codegen {

namespace {

constexpr int kAccumulators = 8;
constexpr int64_t kBand = 512;  // columns whose accumulators are in scratch

struct Group {
  Dim extent, stride;  ///< in the input, elements
};

enum class Kind : uint8_t { kSum, kMean, kMax, kMin, kProd, kSumSquare, kL1, kL2, kLogSum, kLogSumExp };
constexpr std::array<std::string_view, 10> kKinds{"sum",        "mean", "max", "min",     "prod",
                                                  "sum_square", "l1",   "l2",  "log_sum", "log_sum_exp"};

struct ReduceEmitter {
  Emitter& e;
  Numeric num;
  Kind kind;
  const std::vector<Group>& loops;  ///< reduced groups that are loops, outermost first
  Dim count;                        ///< elements reduced into one

  /// What the passes over the data accumulate: log_sum_exp has one for the maximum and one for the sum.
  enum class Pass : uint8_t { kOnly, kTop, kExpSum };

  Val neutral(Pass pass, int n) {
    if (pass == Pass::kTop || kind == Kind::kMax) return num.lowest(n);
    if (kind == Kind::kMin) return num.highest(n);
    return num.constant(kind == Kind::kProd ? 1 : 0, n);
  }
  Val step(Pass pass, Val acc, Val x, Val top) {
    if (pass == Pass::kTop) return num.max(x, acc);
    if (pass == Pass::kExpSum) return e.b.CreateFAdd(acc, elementary(e, Prim::kExp, num.type, e.b.CreateFSub(x, top)));
    switch (kind) {
      case Kind::kMax:
        return num.max(x, acc);
      case Kind::kMin:
        return num.min(x, acc);
      case Kind::kProd:
        return num.mul(acc, x);
      case Kind::kSumSquare:
      case Kind::kL2:
        return num.muladd(x, x, acc);
      case Kind::kL1:
        return num.add(acc, num.abs(x));
      default:
        return num.add(acc, x);
    }
  }
  Val join(Pass pass, Val a, Val b) {
    if (pass == Pass::kTop || kind == Kind::kMax) return num.max(a, b);
    if (kind == Kind::kMin && pass == Pass::kOnly) return num.min(a, b);
    if (kind == Kind::kProd) return num.mul(a, b);
    return num.add(a, b);
  }
  /// 0 where a maximum is infinite, so that exp(x - top) is right there too.
  Val finite(Val top, int n) {
    Val magnitude = num.abs(top);
    return e.b.CreateSelect(e.b.CreateFCmpOEQ(magnitude, num.constant(std::numeric_limits<double>::infinity(), n)),
                            num.constant(0, n), top);
  }
  Val finish(Val acc, Val top, int n) {
    switch (kind) {
      case Kind::kMean: {
        if (!num.fp()) {  // of nothing: 0
          Val d = num.from_index(e.imax(e.dim(count), e.i64(1)));
          return num.div(acc, e.splat(d, n));
        }
        return num.div(acc, e.splat(num.from_index(e.dim(count)), n));
      }
      case Kind::kL2:
        return num.sqrt(acc);
      case Kind::kLogSum:
        return elementary(e, Prim::kLog, num.type, acc);
      case Kind::kLogSumExp:
        return e.b.CreateFAdd(elementary(e, Prim::kLog, num.type, acc), top);
      default:
        return acc;
    }
  }

  /// Runs `inner(base, accumulators)` for every index of `loops`.
  Vals over(Val base, Vals acc, size_t level, const std::function<Vals(Val, const Vals&)>& inner) {
    if (level == loops.size()) return inner(base, acc);
    return e.loop(e.i64(0), e.dim(loops[level].extent), 1, acc, [&](Val i, const Vals& a) {
      return over(e.add(base, e.mul(i, e.dim(loops[level].stride))), a, level + 1, inner);
    });
  }
  Val load(Val index, int n, Val mask) { return num.load(e.at(e.buf(0), e.mul(index, num.bytes())), n, mask); }
  Val halve(Pass pass, const Vals& acc) {
    return join_pairs(acc, [&](Val x, Val y) { return join(pass, x, y); });
  }

  // --- rows

  /// One pass over the row at `base`: `length` contiguous elements for every index of `loops`.
  Val row_pass(Pass pass, Val base, const Dim& length, Val top) {
    const int n = num.lanes();
    const auto known = length.as_const();
    const int unroll = known ? static_cast<int>(std::clamp<int64_t>(*known / n, 1, kAccumulators)) : 4;
    Val tops = top ? e.splat(top, n) : nullptr;
    Vals acc(static_cast<size_t>(unroll), neutral(pass, n));
    acc.push_back(neutral(pass, 1));  // of single elements, where the target has no masks
    acc = over(base, acc, 0, [&](Val at, const Vals& a) {
      return fold_vectors(e, e.dim(length), n, unroll, a, [&](Val i, int vectors, int lanes, Val mask, const Vals& b) {
        Vals next = b;
        for (int u = 0; u < vectors; ++u) {
          const auto k = static_cast<size_t>(lanes == 1 && n > 1 ? unroll : u);
          Val v =
              step(pass, b[k], load(e.add(e.add(at, i), e.i64(int64_t{u} * n)), lanes, mask), lanes == 1 ? top : tops);
          next[k] = mask ? e.b.CreateSelect(mask, v, b[k]) : v;
        }
        return next;
      });
    });
    Val single = acc.back();
    acc.pop_back();
    Val r = join_lanes(e, halve(pass, acc), [&](Val x, Val y) { return join(pass, x, y); });
    return e.target.masked_access ? r : join(pass, r, single);
  }

  Val row(Val base, const Dim& length) {
    if (kind != Kind::kLogSumExp) return finish(row_pass(Pass::kOnly, base, length, nullptr), nullptr, 1);
    Val top = finite(row_pass(Pass::kTop, base, length, nullptr), 1);
    return finish(row_pass(Pass::kExpSum, base, length, top), top, 1);
  }

  // --- columns

  /// `vectors` vectors of n outputs each from column `at` on.
  Vals column_pass(Pass pass, Val base, int vectors, int n, Val mask, const Vals& tops) {
    // Few vectors: some steps of the innermost loop get accumulators of their own, to hide the latency of the addition.
    const int rows = std::max(1, kAccumulators / vectors);
    const auto width = static_cast<size_t>(vectors);
    Vals acc(width * static_cast<size_t>(rows), neutral(pass, n));
    const Group inner = loops.empty() ? Group{1, 0} : loops.back();
    std::vector<Group> outer = loops;
    if (!outer.empty()) outer.pop_back();
    ReduceEmitter around{e, num, kind, outer, count};
    acc = around.over(base, acc, 0, [&](Val at, const Vals& a) {
      Val extent = e.dim(inner.extent), stride = e.dim(inner.stride);
      const auto accumulate = [&](Val i, const Vals& b, int steps) {
        Vals next = b;
        for (int r = 0; r < steps; ++r) {
          Val line = e.add(at, e.mul(e.add(i, e.i64(r)), stride));
          for (size_t v = 0; v < width; ++v) {
            const size_t k = static_cast<size_t>(r) * width + v;
            next[k] = step(pass, b[k], load(e.add(line, e.i64(static_cast<int64_t>(v) * n)), n, mask),
                           tops.empty() ? nullptr : tops[v]);
          }
        }
        return next;
      };
      Val whole = e.mul(e.div(extent, e.i64(rows)), rows);
      Vals r = e.loop(e.i64(0), whole, rows, a, [&](Val i, const Vals& b) { return accumulate(i, b, rows); });
      if (rows == 1) return r;
      return e.loop(whole, extent, 1, r, [&](Val i, const Vals& b) { return accumulate(i, b, 1); });
    });
    Vals result;
    for (size_t v = 0; v < width; ++v) {
      Vals parts;
      for (int r = 0; r < rows; ++r) parts.push_back(acc[static_cast<size_t>(r) * width + v]);
      result.push_back(halve(pass, parts));
    }
    return result;
  }

  Vals columns(Val base, int vectors, int n, Val mask) {
    Vals tops;
    if (kind == Kind::kLogSumExp)
      for (Val t : column_pass(Pass::kTop, base, vectors, n, mask, {})) tops.push_back(finite(t, n));
    Vals acc = column_pass(kind == Kind::kLogSumExp ? Pass::kExpSum : Pass::kOnly, base, vectors, n, mask, tops);
    for (size_t v = 0; v < acc.size(); ++v) acc[v] = finish(acc[v], tops.empty() ? nullptr : tops[v], n);
    return acc;
  }

  // --- a band of columns

  /// body(offset, lanes, mask) for `width` accumulators in scratch.
  void in_band(Val width, const std::function<void(Val, int, Val)>& body) { e.for_vectors(width, num.lanes(), body); }
  Val waiting(Val i) { return e.at(e.scratch(), e.mul(i, dtype_bits(num.type) / 8)); }

  /// Columns [0, width) from `base` on, some rows at a time; `put`(i, value, mask) takes the results.
  void band(Val base, Val width, const std::function<void(Val, Val, Val)>& put) {
    constexpr int kRows = 4;
    in_band(width, [&](Val i, int n, Val mask) { e.store(num.type, neutral(Pass::kOnly, n), waiting(i), mask); });
    const Group inner = loops.back();
    const std::vector<Group> outer(loops.begin(), loops.end() - 1);
    ReduceEmitter around{e, num, kind, outer, count};
    around.over(base, {}, 0, [&](Val at, const Vals&) {
      Val extent = e.dim(inner.extent), stride = e.dim(inner.stride);
      const auto accumulate = [&](Val row, int rows) {
        in_band(width, [&](Val i, int n, Val mask) {
          Vals acc{e.load(num.type, waiting(i), n, mask)};
          if (rows > 1) acc.push_back(neutral(Pass::kOnly, n));
          for (int r = 0; r < rows; ++r) {
            Val x = load(e.add(e.add(at, e.mul(e.add(row, e.i64(r)), stride)), i), n, mask);
            Val& a = acc[static_cast<size_t>(r) % acc.size()];
            a = step(Pass::kOnly, a, x, nullptr);
          }
          e.store(num.type, halve(Pass::kOnly, acc), waiting(i), mask);
        });
      };
      Val whole = e.mul(e.div(extent, e.i64(kRows)), kRows);
      e.for_each(e.i64(0), whole, kRows, [&](Val row) { accumulate(row, kRows); });
      e.for_each(whole, extent, 1, [&](Val row) { accumulate(row, 1); });
      return Vals{};
    });
    in_band(width,
            [&](Val i, int n, Val mask) { put(i, finish(e.load(num.type, waiting(i), n, mask), nullptr, n), mask); });
  }
};

}  // namespace

Status lower_reduce(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Reduce>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  const auto* const found = std::find(kKinds.begin(), kKinds.end(), op.kind);
  const auto kind = static_cast<Kind>(found - kKinds.begin());
  const bool logarithm = kind == Kind::kLogSum || kind == Kind::kLogSumExp;
  if (!Numeric::supports(type) || (logarithm && !Numeric::is_float(type)) ||
      (kind == Kind::kL2 && !Numeric::is_float(type)))
    return fail(Code::kUnsupported,
                op.kind + " reduction of " + std::string(dtype_name(type)) + " is not generated yet");
  if (!node.epilogue.empty()) return fail(Code::kUnsupported, "a reduction takes no epilogue");

  // Alternating groups, outermost first.
  struct Part {
    bool reduced;
    Group group;
  };
  std::vector<Part> parts;
  const auto strides = row_strides(x);
  Dim count = 1;
  for (size_t d = 0; d < x.size(); ++d) {
    const bool reduced = std::find(op.axes.begin(), op.axes.end(), static_cast<int64_t>(d)) != op.axes.end();
    if (reduced) count = count * x[d];
    if (x[d].equals(1)) continue;
    if (!parts.empty() && parts.back().reduced == reduced)
      parts.back().group = {parts.back().group.extent * x[d], strides[d]};
    else
      parts.push_back({reduced, {x[d], strides[d]}});
  }
  std::vector<Group> kept, loops;
  for (const Part& p : parts) (p.reduced ? loops : kept).push_back(p.group);
  const bool rows = parts.empty() || parts.back().reduced;
  Group inner{1, 1};  // the contiguous one
  if (!parts.empty()) {
    inner = parts.back().group;
    (rows ? loops : kept).pop_back();
  }
  std::vector<Dim> outer;
  for (const Group& g : kept) outer.push_back(g.extent);
  const Dim outer_count = product(outer);

  // Tasks: outputs in rows form; blocks of columns otherwise.
  const int64_t elements = lowering.typical(product(x)), bytes = dtype_bits(type) / 8;
  const bool small = elements * bytes <= kSmallBytes;
  const int64_t per_output = std::max<int64_t>(1, elements / std::max<int64_t>(1, lowering.typical(outer_count)));
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / 2 / (per_output * bytes));
  const int lanes = lowering.target.vector_bits / std::max(dtype_bits(type), Numeric::is_float(type) ? 32 : 8);
  const auto inner_known = inner.extent.as_const();
  const int vectors = inner_known ? static_cast<int>(std::clamp<int64_t>(*inner_known / lanes, 1, 4)) : 4;
  const bool bands = !rows && !small && !loops.empty() && kind != Kind::kLogSumExp &&
                     lowering.typical(inner.extent) >= int64_t{4} * vectors * lanes;
  const int64_t block = bands ? kBand : int64_t{vectors} * lanes;
  const Dim blocks = ceil_div(inner.extent, block);
  const std::vector<Dim> grid =
      rows ? std::vector<Dim>{ceil_div(outer_count, per_task)} : std::vector<Dim>{outer_count, blocks};

  std::vector<Dim> dims{inner.extent, outer_count, count, blocks};
  for (const Group& g : kept) dims.insert(dims.end(), {g.extent, g.stride});
  for (const Group& g : loops) dims.insert(dims.end(), {g.extent, g.stride});
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : product(grid);
  if (bands) call.scratch_bytes = kBand * std::max<int64_t>(4, bytes) + 64;
  call.kernel = lowering.kernel("reduce", call.scalars, [&](Emitter& e) {
    ReduceEmitter r{e, {e, type}, kind, loops, count};
    const auto base_of = [&](Val output) {
      Val base = e.i64(0), rest = output;
      for (size_t i = kept.size(); i-- > 0;) {
        Val extent = e.dim(kept[i].extent);
        base = e.add(base, e.mul(i == 0 ? rest : e.rem(rest, extent), e.dim(kept[i].stride)));
        if (i > 0) rest = e.div(rest, extent);
      }
      return base;
    };
    const auto target = [&](Val index) { return e.at(e.buf(1), e.mul(index, bytes)); };
    if (rows) {
      Val from = small ? e.i64(0) : e.mul(e.begin(), per_task);
      Val to = small ? e.dim(outer_count) : e.imin(e.mul(e.end(), per_task), e.dim(outer_count));
      e.for_each(from, to, 1, [&](Val output) { r.num.store(r.row(base_of(output), inner.extent), target(output)); });
    } else {
      const auto task = [&](const Vals& at) {
        Val base = base_of(at[0]), width = e.dim(inner.extent), first = e.mul(at[1], block);
        Val left = e.imin(e.sub(width, first), e.i64(block));
        if (bands)
          return r.band(e.add(base, first), left, [&](Val i, Val v, Val mask) {
            r.num.store(v, target(e.add(e.add(e.mul(at[0], width), first), i)), mask);
          });
        const auto body = [&](Val column, int n_vectors, int n, Val mask) {
          const Vals v = r.columns(e.add(base, column), n_vectors, n, mask);
          for (int k = 0; k < n_vectors; ++k)
            r.num.store(v[static_cast<size_t>(k)],
                        target(e.add(e.add(e.mul(at[0], width), column), e.i64(int64_t{k} * n))), mask);
        };
        const auto piece = [&] {
          e.for_vectors(left, lanes, [&](Val i, int n, Val mask) { body(e.add(first, i), 1, n, mask); });
        };
        if (inner_known && *inner_known % block == 0) return body(first, vectors, lanes, nullptr);
        e.if_else(
            e.b.CreateICmpEQ(left, e.i64(block)),
            [&] {
              body(first, vectors, lanes, nullptr);
              return Vals{};
            },
            [&] {
              piece();
              return Vals{};
            });
      };
      if (small)
        for_nest(e, {outer_count, blocks}, task);
      else
        for_tasks(e, grid, task);
    }
    e.ret();
  });
  call.tactic = rows ? "rows" : bands ? "bands" : "columns";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
