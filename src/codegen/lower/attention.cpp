// SPDX-License-Identifier: Apache-2.0
// Attention without the score matrix. A task takes a block of queries of one head and keeps it transposed, so that
// queries are vector lanes: maxima and sums over keys need no work across lanes, and neither k nor v is repacked.
//
//   Q^T [D × QB]  packed once, scaled       S^T [KB × QB] = K Q^T      one key a row: its elements are broadcast
//   per block of KB keys: S^T, its running maximum m and sum l, P^T = exp(S^T - m)
//   O^T [Dv × QB] = O^T exp(m_old - m) + V^T P^T                       one feature a row: elements of v are broadcast
//
// Few queries (a decoding step) go row by row instead: vectors over features, the softmax along keys.
// Online softmax: M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018; T. Dao et al.,
// "FlashAttention", 2022.
#include "ops/attention.h"

#include <algorithm>
#include <array>
#include <limits>

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kKeyBlock = 128, kCausalKeyBlock = 64;
constexpr int64_t kFewQueries = 4;

/// Element strides of an operand seen as [batch, head, position, feature].
struct Strides {
  Dim batch, head, position, feature;
};

struct Problem {
  Dim batch, heads, key_heads, queries, keys;
  int64_t depth = 0, value_depth = 0;
  Strides q, k, v, out, mask;
  bool has_mask = false, causal = false;
  double scale = 1;
};

struct AttentionEmitter {
  Emitter& e;
  const Problem& p;
  int n = e.lanes();

  // of the head
  Val q = nullptr, k = nullptr, v = nullptr, out = nullptr, mask = nullptr;

  Val f(double c, int lanes) { return e.constant(DType::kF32, c, lanes); }
  Val lowest(int lanes) { return f(-std::numeric_limits<double>::infinity(), lanes); }
  Val element(Val base, Val index) { return e.at(base, e.mul(index, 4)); }
  Val scalar(Val base, Val index) { return e.load(DType::kF32, element(base, index)); }
  // A NaN in the scores reaches the sum through exp, so the maximum need not keep it.
  Val larger(Val a, Val b) { return e.b.CreateSelect(e.b.CreateFCmpOGT(a, b), a, b); }
  /// 0 for the maximum of nothing but -inf: such keys then weigh exp(-inf) = 0.
  Val finite(Val m, int lanes) { return e.b.CreateSelect(e.b.CreateFCmpOEQ(m, lowest(lanes)), f(0, lanes), m); }

  void head(Val batch, Val h) {
    const auto place = [&](int buffer, const Strides& s, Val at) {
      return element(e.buf(buffer), e.add(e.mul(batch, e.dim(s.batch)), e.mul(at, e.dim(s.head))));
    };
    Val key_head = p.heads == p.key_heads ? h : e.div(e.mul(h, e.dim(p.key_heads)), e.dim(p.heads));
    q = place(0, p.q, h);
    k = place(1, p.k, key_head);
    v = place(2, p.v, key_head);
    out = place(3, p.out, h);
    if (p.has_mask) mask = place(4, p.mask, h);
  }
  [[nodiscard]] bool mask_by_key() const { return p.has_mask && p.mask.position.equals(0); }
  Val visible(Val query) {  // number of keys that a query sees
    Val seen = e.add(query, e.add(e.sub(e.dim(p.keys), e.dim(p.queries)), e.i64(1)));
    return e.imax(e.imin(seen, e.dim(p.keys)), e.i64(0));
  }

  // --- blocks of queries

  int columns = 2;  ///< vectors of queries
  int rows = 8;     ///< keys or features of a register tile
  int64_t key_block = kKeyBlock;
  Val packed = nullptr, scores = nullptr, result = nullptr;  ///< Q^T, S^T, O^T in scratch
  int64_t block() const { return int64_t{columns} * n; }
  void settle() {
    const bool many = e.target.vector_registers >= 32;
    columns = many ? 2 : 3;
    rows = many ? 8 : 4;
    key_block = p.causal ? kCausalKeyBlock : kKeyBlock;
  }
  int64_t scratch_bytes() const { return (p.depth + p.value_depth + key_block) * block() * 4; }
  Val in_block(Val base, Val line, int column) {
    return element(base, e.add(e.mul(line, block()), e.i64(int64_t{column} * n)));
  }
  Val load_block(Val base, Val line, int column) {
    return e.load_aligned(DType::kF32, in_block(base, line, column), n, 4 * n);
  }

  /// Rows [first, first + block) of a matrix with contiguous features, transposed into `to` and scaled; rows past
  /// `limit` repeat the last one.
  void pack(Val to, Val from, Val stride, Val first, Val limit, int64_t features, double scale) {
    const int64_t whole = features / n * n;
    Val last = e.sub(limit, e.i64(1));
    for (int column = 0; column < columns; ++column) {
      Vals lines;
      for (int i = 0; i < n; ++i)
        lines.push_back(element(from, e.mul(e.imin(e.add(first, e.i64(int64_t{column} * n + i)), last), stride)));
      e.for_each(e.i64(0), e.i64(whole), n, [&](Val d) {
        Vals tile;
        for (Val line : lines) tile.push_back(e.load(DType::kF32, element(line, d), n));
        tile = transpose_tile(e, tile);
        for (int i = 0; i < n; ++i)
          e.store(DType::kF32, e.b.CreateFMul(tile[static_cast<size_t>(i)], f(scale, n)),
                  in_block(to, e.add(d, e.i64(i)), column));
      });
      for (int64_t d = whole; d < features; ++d)
        for (int i = 0; i < n; ++i)
          e.store(DType::kF32, e.b.CreateFMul(scalar(lines[static_cast<size_t>(i)], e.i64(d)), f(scale, 1)),
                  element(in_block(to, e.i64(d), column), e.i64(i)));
    }
  }

  /// Transposes the mask's rows of these queries and keys [from, from + count) into the scores.
  void pack_mask(Val first, Val from, Val count) {
    Val last = e.sub(e.dim(p.queries), e.i64(1)), stride = e.dim(p.mask.position);
    Val whole = e.b.CreateAnd(count, e.i64(-static_cast<int64_t>(n)));
    for (int column = 0; column < columns; ++column) {
      Vals lines;
      for (int i = 0; i < n; ++i)
        lines.push_back(
            element(mask, e.add(e.mul(e.imin(e.add(first, e.i64(int64_t{column} * n + i)), last), stride), from)));
      e.for_each(e.i64(0), whole, n, [&](Val j) {
        Vals tile;
        for (Val line : lines) tile.push_back(e.load(DType::kF32, element(line, j), n));
        tile = transpose_tile(e, tile);
        for (int i = 0; i < n; ++i)
          e.store(DType::kF32, tile[static_cast<size_t>(i)], in_block(scores, e.add(j, e.i64(i)), column));
      });
      e.for_each(whole, count, 1, [&](Val j) {
        for (int i = 0; i < n; ++i)
          e.store(DType::kF32, scalar(lines[static_cast<size_t>(i)], j),
                  element(in_block(scores, j, column), e.i64(i)));
      });
    }
  }

  /// acc[r][c] += sum over `depth` of a(r, i) * (line i of `b`)[c]
  Vals tile(Vals acc, int height, Val count, Val b, const std::function<Val(int, Val)>& a) {
    const auto step = [&](Val i, const Vals& in, int steps) {
      Vals next = in;
      for (int s = 0; s < steps; ++s) {
        Val at = e.add(i, e.i64(s));
        Vals line;
        for (int c = 0; c < columns; ++c) line.push_back(load_block(b, at, c));
        for (int r = 0; r < height; ++r) {
          Val x = e.splat(a(r, at), n);
          for (int c = 0; c < columns; ++c) {
            auto& value = next[static_cast<size_t>(r * columns + c)];
            value = e.fma(x, line[static_cast<size_t>(c)], value);
          }
        }
      }
      return next;
    };
    constexpr int kSteps = 4;
    Val whole = e.b.CreateAnd(count, e.i64(-kSteps));
    acc = e.loop(e.i64(0), whole, kSteps, acc, [&](Val i, const Vals& in) { return step(i, in, kSteps); });
    return e.loop(whole, count, 1, acc, [&](Val i, const Vals& in) { return step(i, in, 1); });
  }

  /// Visits [0, count) in tiles of `rows`, then what is left: exactly where the count is known, else one by one.
  Vals tiles(Val count, Vals carried, const std::function<Vals(Val, int, const Vals&)>& body) {
    Val whole = e.sub(count, e.rem(count, e.i64(rows)));
    carried = e.loop(e.i64(0), whole, rows, carried, [&](Val i, const Vals& a) { return body(i, rows, a); });
    if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(count)) {
      const int64_t rest = c->getSExtValue() % rows;
      return rest ? body(whole, static_cast<int>(rest), carried) : carried;
    }
    return e.loop(whole, count, 1, carried, [&](Val i, const Vals& a) { return body(i, 1, a); });
  }

  /// Keys [from, from + count) for queries from `first` on; `state`: maxima, then sums. `fresh`: the result holds
  /// nothing yet.
  Vals keys(Val first, Val from, Val count, const Vals& state, bool fresh) {
    const auto width = static_cast<size_t>(columns);
    const Vals m(state.begin(), state.begin() + columns), l(state.begin() + columns, state.end());
    const bool full_mask = p.has_mask && !mask_by_key();
    if (full_mask) pack_mask(first, from, count);
    Val key_stride = e.dim(p.k.position), depth_stride = e.dim(p.k.feature);
    Vals top = tiles(count, Vals(width, lowest(n)), [&](Val j, int height, const Vals& best) {
      Vals lines;
      for (int r = 0; r < height; ++r) lines.push_back(element(k, e.mul(e.add(e.add(from, j), e.i64(r)), key_stride)));
      Vals s = tile(Vals(static_cast<size_t>(height) * width, f(0, n)), height, e.i64(p.depth), packed,
                    [&](int r, Val d) { return scalar(lines[static_cast<size_t>(r)], e.mul(d, depth_stride)); });
      Vals next = best;
      for (int r = 0; r < height; ++r) {
        Val key = e.add(j, e.i64(r));
        Val bias = mask_by_key() ? e.splat(scalar(mask, e.mul(e.add(from, key), e.dim(p.mask.feature))), n) : nullptr;
        for (size_t c = 0; c < width; ++c) {
          Val& x = s[static_cast<size_t>(r) * width + c];
          Val place = in_block(scores, key, static_cast<int>(c));
          if (bias) x = e.b.CreateFAdd(x, bias);
          if (full_mask) x = e.b.CreateFAdd(x, e.load(DType::kF32, place, n));
          if (p.causal) x = e.b.CreateSelect(sees(first, static_cast<int>(c), e.add(from, key)), x, lowest(n));
          e.store(DType::kF32, x, place);
          next[c] = larger(x, next[c]);
        }
      }
      return next;
    });
    Vals base, alpha;
    for (size_t c = 0; c < width; ++c) {
      top[c] = larger(top[c], m[c]);
      base.push_back(finite(top[c], n));
      alpha.push_back(e.exp_of_nonpositive(e.b.CreateFSub(m[c], base[c])));
    }
    const auto weigh = [&](Val j, const Vals& sums, int steps) {
      Vals next = sums;
      for (int s = 0; s < steps; ++s)
        for (size_t c = 0; c < width; ++c) {
          Val place = in_block(scores, e.add(j, e.i64(s)), static_cast<int>(c));
          Val w = e.exp_of_nonpositive(e.b.CreateFSub(e.load(DType::kF32, place, n), base[c]));
          e.store(DType::kF32, w, place);
          next[c] = e.b.CreateFAdd(next[c], w);
        }
      return next;
    };
    Val even = e.b.CreateAnd(count, e.i64(-2));
    Vals sums = e.loop(e.i64(0), even, 2, Vals(width, f(0, n)), [&](Val j, const Vals& a) { return weigh(j, a, 2); });
    sums = e.loop(even, count, 1, sums, [&](Val j, const Vals& a) { return weigh(j, a, 1); });
    Vals next = top;
    for (size_t c = 0; c < width; ++c) next.push_back(fresh ? sums[c] : e.fma(l[c], alpha[c], sums[c]));

    Val position = e.dim(p.v.position), feature = e.dim(p.v.feature), values = element(v, e.mul(from, position));
    tiles(e.i64(p.value_depth), {}, [&](Val d, int height, const Vals&) {
      Vals acc;
      for (int r = 0; r < height; ++r)
        for (int c = 0; c < columns; ++c)
          acc.push_back(fresh
                            ? f(0, n)
                            : e.b.CreateFMul(load_block(result, e.add(d, e.i64(r)), c), alpha[static_cast<size_t>(c)]));
      acc = tile(acc, height, count, scores, [&](int r, Val j) {
        return scalar(values, e.add(e.mul(j, position), e.mul(e.add(d, e.i64(r)), feature)));
      });
      for (int r = 0; r < height; ++r)
        for (int c = 0; c < columns; ++c)
          e.store(DType::kF32, acc[static_cast<size_t>(r * columns + c)], in_block(result, e.add(d, e.i64(r)), c));
      return Vals{};
    });
    return next;
  }

  /// Lanes of column c whose query sees the key.
  Val sees(Val first, int c, Val key) {
    std::vector<llvm::Constant*> ids;
    for (int i = 0; i < n; ++i) ids.push_back(e.b.getInt32(static_cast<uint32_t>(c * n + i)));
    Val distance = e.sub(e.sub(key, first), e.sub(e.dim(p.keys), e.dim(p.queries)));
    return e.b.CreateICmpSLE(e.splat(e.b.CreateTrunc(distance, e.b.getInt32Ty()), n), llvm::ConstantVector::get(ids));
  }

  void query_block(Val first) {
    packed = e.scratch();
    result = e.at(packed, p.depth * block() * 4);
    scores = e.at(result, p.value_depth * block() * 4);
    pack(packed, q, e.dim(p.q.position), first, e.dim(p.queries), p.depth, p.scale);

    const auto width = static_cast<size_t>(columns);
    Vals state(width, lowest(n));
    state.insert(state.end(), width, f(0, n));
    Val all = e.dim(p.keys);
    if (p.causal) all = e.imin(all, visible(e.add(first, e.i64(block() - 1))));
    const auto known = p.causal ? std::nullopt : p.keys.as_const();
    if (known && *known <= key_block) {
      state = keys(first, e.i64(0), all, state, true);
    } else {
      for (int64_t i = 0; i < p.value_depth; ++i)
        for (int c = 0; c < columns; ++c) e.store(DType::kF32, f(0, n), in_block(result, e.i64(i), c));
      Val whole = e.mul(e.div(all, e.i64(key_block)), key_block);
      state = e.loop(e.i64(0), whole, key_block, state,
                     [&](Val from, const Vals& s) { return keys(first, from, e.i64(key_block), s, false); });
      const bool rest = !known || *known % key_block != 0;
      if (rest)
        state = e.if_else(
            e.b.CreateICmpSLT(whole, all),
            [&] { return keys(first, whole, known ? e.i64(*known % key_block) : e.sub(all, whole), state, false); },
            [&] { return state; });
    }
    Vals factor;
    for (size_t c = 0; c < width; ++c) {
      factor.push_back(e.b.CreateFDiv(f(1, n), state[width + c]));
      if (p.causal)
        factor[c] = e.b.CreateSelect(sees(first, static_cast<int>(c), e.i64(0)), factor[c], f(0, n));  // sees nothing
    }
    unpack(first, factor);
  }

  /// Stores O^T, transposed back and multiplied by `factor`.
  void unpack(Val first, const Vals& factor) {
    Val limit = e.dim(p.queries), stride = e.dim(p.out.position);
    const int64_t whole = p.value_depth / n * n;
    const auto rows_from = [&](int column, bool all) {
      const auto row = [&](int i, const std::function<void(Val)>& put) {
        Val query = e.add(first, e.i64(int64_t{column} * n + i));
        const auto body = [&] { put(element(out, e.mul(query, stride))); };
        if (all)
          body();
        else
          e.if_then(e.b.CreateICmpSLT(query, limit), body);
      };
      Val scale = factor[static_cast<size_t>(column)];
      e.for_each(e.i64(0), e.i64(whole), n, [&](Val d) {
        Vals t;
        for (int i = 0; i < n; ++i) t.push_back(e.b.CreateFMul(load_block(result, e.add(d, e.i64(i)), column), scale));
        t = transpose_tile(e, t);
        for (int i = 0; i < n; ++i)
          row(i, [&](Val to) { e.store(DType::kF32, t[static_cast<size_t>(i)], element(to, d)); });
      });
      e.for_each(e.i64(whole), e.i64(p.value_depth), 1, [&](Val d) {
        Val t = e.b.CreateFMul(load_block(result, d, column), scale);
        for (int i = 0; i < n; ++i)
          row(i, [&](Val to) {
            e.store(DType::kF32, e.b.CreateExtractElement(t, static_cast<uint64_t>(i)), element(to, d));
          });
      });
    };
    for (int column = 0; column < columns; ++column) {
      e.if_else(
          e.b.CreateICmpSLE(e.add(first, e.i64(int64_t{column + 1} * n)), limit),
          [&] {
            rows_from(column, true);
            return Vals{};
          },
          [&] {
            rows_from(column, false);
            return Vals{};
          });
    }
  }

  // --- one query

  void single(Val query) {
    Val total = e.dim(p.keys), seen = p.causal ? visible(query) : total;
    Val line = element(q, e.mul(query, e.dim(p.q.position)));
    scores = e.scratch();
    dots(line, total);
    Val row = p.has_mask ? element(mask, e.mul(query, e.dim(p.mask.position))) : nullptr;
    Val scalar_lowest = lowest(1);
    const int unroll = 2;
    const auto slot = [&](int lanes, int u) { return static_cast<size_t>(lanes == 1 && n > 1 ? unroll : u); };
    Vals tops(static_cast<size_t>(unroll), lowest(n));
    tops.push_back(scalar_lowest);
    tops = fold_vectors(e, seen, n, unroll, tops, [&](Val i, int vectors, int lanes, Val active, const Vals& a) {
      Vals next = a;
      for (int u = 0; u < vectors; ++u) {
        Val at = e.add(i, e.i64(int64_t{u} * n));
        Val s = e.b.CreateFMul(e.load(DType::kF32, element(scores, at), lanes, active), f(p.scale, lanes));
        if (row) {
          Val bias = p.mask.feature.equals(0) ? e.splat(scalar(row, e.i64(0)), lanes)
                                              : e.load(DType::kF32, element(row, at), lanes, active);
          s = e.b.CreateFAdd(s, bias);
        }
        e.store(DType::kF32, s, element(scores, at), active);
        if (active) s = e.b.CreateSelect(active, s, lowest(lanes));
        next[slot(lanes, u)] = larger(s, a[slot(lanes, u)]);
      }
      return next;
    });
    const auto pick = [&](Val a, Val b) { return larger(a, b); };
    const auto sum = [&](Val a, Val b) { return e.b.CreateFAdd(a, b); };
    Val top = pick(tops.back(), join_lanes(e, pick(tops[0], tops[1]), pick));
    Val top_n = e.splat(top, n);
    Vals sums(static_cast<size_t>(unroll), f(0, n));
    sums.push_back(f(0, 1));
    sums = fold_vectors(e, seen, n, unroll, sums, [&](Val i, int vectors, int lanes, Val active, const Vals& a) {
      Vals next = a;
      for (int u = 0; u < vectors; ++u) {
        Val place = element(scores, e.add(i, e.i64(int64_t{u} * n)));
        Val w =
            e.exp_of_nonpositive(e.b.CreateFSub(e.load(DType::kF32, place, lanes, active), lanes == 1 ? top : top_n));
        if (active) w = e.b.CreateSelect(active, w, f(0, lanes));
        e.store(DType::kF32, w, place, active);
        next[slot(lanes, u)] = e.b.CreateFAdd(a[slot(lanes, u)], w);
      }
      return next;
    });
    Val factor = e.b.CreateFDiv(f(1, 1), e.b.CreateFAdd(sums.back(), join_lanes(e, sum(sums[0], sums[1]), sum)));
    if (p.causal) factor = e.b.CreateSelect(e.b.CreateICmpEQ(seen, e.i64(0)), f(0, 1), factor);
    combine(element(out, e.mul(query, e.dim(p.out.position))), seen, factor);
  }

  /// The products of the query at `line` with all keys, into the scores.
  void dots(Val line, Val count) {
    Val stride = e.dim(p.k.position);
    if (p.k.position.equals(1)) {  // keys are neighbours
      const int unroll = 4;
      fold_vectors(e, count, n, unroll, {}, [&](Val i, int vectors, int lanes, Val active, const Vals&) {
        Vals acc(static_cast<size_t>(vectors), f(0, lanes));
        acc = e.loop(e.i64(0), e.i64(p.depth), 1, acc, [&](Val d, const Vals& a) {
          Vals next;
          Val x = e.splat(scalar(line, d), lanes);
          Val from = element(k, e.add(e.mul(d, e.dim(p.k.feature)), i));
          for (int u = 0; u < vectors; ++u)
            next.push_back(e.fma(x, e.load(DType::kF32, e.at(from, int64_t{u} * n * 4), lanes, active),
                                 a[static_cast<size_t>(u)]));
          return next;
        });
        for (int u = 0; u < vectors; ++u)
          e.store(DType::kF32, acc[static_cast<size_t>(u)], element(scores, e.add(i, e.i64(int64_t{u} * n))), active);
        return Vals{};
      });
      return;
    }
    // n keys at a time, each summed over its features in its own vector; the lanes of all are then added at once.
    const int64_t whole = p.depth / n;
    const int64_t rest = p.depth % n;
    const int64_t kept = std::min<int64_t>(whole, e.target.vector_registers / 4);
    Vals features;
    for (int64_t i = 0; i < kept; ++i) features.push_back(e.load(DType::kF32, element(line, e.i64(i * n)), n));
    Val last = e.sub(count, e.i64(1));
    e.for_each(e.i64(0), count, n, [&](Val j) {
      Vals partial;
      for (int r = 0; r < n; ++r) {
        Val key = element(k, e.mul(e.imin(e.add(j, e.i64(r)), last), stride));
        Val acc = nullptr;
        const auto use = [&](Val x, Val y) { acc = acc ? e.fma(x, y, acc) : e.b.CreateFMul(x, y); };
        for (int64_t i = 0; i < whole; ++i)
          use(i < kept ? features[static_cast<size_t>(i)] : e.load(DType::kF32, element(line, e.i64(i * n)), n),
              e.load(DType::kF32, element(key, e.i64(i * n)), n));
        if (rest && e.target.masked_access) {
          Val active = e.lane_mask(e.i64(rest), n);
          use(e.load(DType::kF32, element(line, e.i64(whole * n)), n, active),
              e.load(DType::kF32, element(key, e.i64(whole * n)), n, active));
        } else {
          if (!acc) acc = f(0, n);
          for (int64_t i = 0; i < rest; ++i) {
            Val at = e.i64(whole * n + i);
            Val first = e.b.CreateExtractElement(acc, uint64_t{0});
            acc = e.b.CreateInsertElement(acc, e.fma(scalar(line, at), scalar(key, at), first), uint64_t{0});
          }
        }
        partial.push_back(acc);
      }
      std::vector<int> low, high;
      for (int i = 0; i < n; ++i) {
        low.push_back(i / 2 + i % 2 * n);
        high.push_back(i / 2 + i % 2 * n + n / 2);
      }
      while (partial.size() > 1) {
        Vals next;
        for (size_t i = 0; i < partial.size() / 2; ++i) {
          Val a = partial[i], b = partial[i + partial.size() / 2];
          next.push_back(e.b.CreateFAdd(e.b.CreateShuffleVector(a, b, low), e.b.CreateShuffleVector(a, b, high)));
        }
        partial = std::move(next);
      }
      e.store(DType::kF32, partial[0], element(scores, j));
    });
  }

  /// Sum of the values weighted by the scores, times `factor`.
  void combine(Val to, Val count, Val factor) {
    Val position = e.dim(p.v.position);
    const auto piece = [&](int64_t at, int vectors, int lanes, Val active) {
      const int steps = std::max(1, 8 / vectors);
      const auto width = static_cast<size_t>(vectors);
      const auto add = [&](Val j, const Vals& a, int many) {
        Vals next = a;
        for (int s = 0; s < many; ++s) {
          Val key = e.add(j, e.i64(s));
          Val w = e.splat(scalar(scores, key), lanes), line = element(v, e.add(e.mul(key, position), e.i64(at)));
          for (size_t c = 0; c < width; ++c) {
            const size_t i = static_cast<size_t>(s) * width + c;
            next[i] = e.fma(w, e.load(DType::kF32, e.at(line, static_cast<int64_t>(c) * n * 4), lanes, active), a[i]);
          }
        }
        return next;
      };
      Val whole = e.mul(e.div(count, e.i64(steps)), steps);
      Vals acc = e.loop(e.i64(0), whole, steps, Vals(width * static_cast<size_t>(steps), f(0, lanes)),
                        [&](Val j, const Vals& a) { return add(j, a, steps); });
      acc = e.loop(whole, count, 1, acc, [&](Val j, const Vals& a) { return add(j, a, 1); });
      for (size_t c = 0; c < width; ++c) {
        Vals parts;
        for (int s = 0; s < steps; ++s) parts.push_back(acc[static_cast<size_t>(s) * width + c]);
        Val r = join_pairs(parts, [&](Val a, Val b) { return e.b.CreateFAdd(a, b); });
        e.store(DType::kF32, e.b.CreateFMul(r, e.splat(factor, lanes)),
                element(to, e.i64(at + static_cast<int64_t>(c) * n)), active);
      }
    };
    int64_t at = 0;
    while (at + n <= p.value_depth) {
      const int vectors = static_cast<int>(std::min<int64_t>(4, (p.value_depth - at) / n));
      piece(at, vectors, n, nullptr);
      at += int64_t{vectors} * n;
    }
    if (at == p.value_depth) return;
    if (e.target.masked_access) return piece(at, 1, n, e.lane_mask(e.i64(p.value_depth - at), n));
    for (; at < p.value_depth; ++at) piece(at, 1, 1, nullptr);
  }
};

Strides strides_of(const Shape& s, bool heads_last, bool transposed) {
  const auto r = row_strides(s);
  if (heads_last) return {r[0], r[2], r[1], r[3]};
  return transposed ? Strides{r[0], r[1], r[3], r[2]} : Strides{r[0], r[1], r[2], r[3]};
}

}  // namespace

Status lower_attention(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Attention>();
  const ValueId q = node.inputs[0], k = node.inputs[1], v = node.inputs[2], out = node.outputs[0];
  const bool has_mask = node.inputs.size() > 3 && node.inputs[3] != kNoId;
  if (lowering.dtype(q) != DType::kF32)
    return fail(Code::kUnsupported,
                "attention in " + std::string(dtype_name(lowering.dtype(q))) + " is not generated yet");
  if (!node.epilogue.empty()) return fail(Code::kUnsupported, "attention takes no epilogue");
  const Shape &qs = lowering.shape(q), &ks = lowering.shape(k), &vs = lowering.shape(v);
  const size_t head = op.heads_last ? 2 : 1, position = op.heads_last ? 1 : 2;
  if (!qs[3].is_const() || !vs[3].is_const())
    return fail(Code::kUnsupported, "the depth of a head must be known at build time");

  Problem p;
  p.batch = qs[0];
  p.heads = qs[head];
  p.queries = qs[position];
  p.key_heads = vs[head];
  p.keys = vs[position];
  p.depth = qs[3].value();
  p.value_depth = vs[3].value();
  p.q = strides_of(qs, op.heads_last, false);
  p.k = strides_of(ks, op.heads_last, op.k_transposed);
  p.v = strides_of(vs, op.heads_last, false);
  p.out = strides_of(lowering.shape(out), op.heads_last, false);
  p.has_mask = has_mask;
  p.causal = op.causal;
  p.scale = op.scale;
  if (p.depth == 0 || p.value_depth == 0) return fail(Code::kUnsupported, "a head of depth 0");
  if (has_mask) {
    const Shape& m = lowering.shape(node.inputs[3]);
    const auto r = row_strides(m);
    std::array<Dim, 4> s{0, 0, 0, 0};
    for (size_t d = 0; d < m.size(); ++d)
      if (!m[d].equals(1)) s[4 - m.size() + d] = r[d];
    p.mask = {s[0], s[1], s[2], s[3]};
    if (s[3].equals(0) && !s[2].equals(0) && !p.keys.equals(1))
      return fail(Code::kUnsupported, "a mask that varies by query but not by key");
  }

  const bool few = lowering.typical(p.queries) <= kFewQueries;
  Call call;
  call.buffers = {lowering.buffer(q), lowering.buffer(k), lowering.buffer(v), lowering.buffer(out)};
  if (has_mask) call.buffers.push_back(lowering.buffer(node.inputs[3]));
  const auto width = static_cast<int64_t>(lowering.target.f32_lanes());
  const int64_t block = width * (lowering.target.vector_registers >= 32 ? 2 : 3);
  const std::vector<Dim> grid{p.batch, p.heads, few ? p.queries : ceil_div(p.queries, block)};
  std::vector<Dim> dims = grid;
  dims.insert(dims.end(), {p.key_heads, p.queries, p.keys});
  for (const Strides* s : {&p.q, &p.k, &p.v, &p.out, &p.mask})
    dims.insert(dims.end(), {s->batch, s->head, s->position, s->feature});
  call.scalars = Lowering::symbolic(dims);
  call.tasks = product(grid);
  call.kernel = lowering.kernel("attention", call.scalars, [&](Emitter& e) {
    AttentionEmitter a{e, p};
    a.settle();
    call.scratch_bytes = few ? (p.keys + width) * 4 : Dim(a.scratch_bytes());
    for_tasks(e, grid, [&](const Vals& at) {
      a.head(at[0], at[1]);
      if (few)
        a.single(at[2]);
      else
        a.query_block(e.mul(at[2], block));
    });
    e.ret();
  });
  call.tactic = few ? "rows" : "blocks of " + std::to_string(block);
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
