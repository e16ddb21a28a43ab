// SPDX-License-Identifier: Apache-2.0
// Normalisation of rows: the mean, then the squared deviations from it (which loses nothing to cancellation), then the
// result; after the first pass the row is read from the L1 cache.
#include "ops/layer_norm.h"

#include <algorithm>

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"

namespace lathe::codegen {

namespace {

constexpr int kMostUnroll = 4;

struct NormEmitter {
  Emitter& e;
  Numeric num;
  const Epilogue& epilogue;
  bool rms;
  double epsilon;
  bool has_scale, has_bias;
  int unroll;

  Val load(int buffer, Val index, int n, Val mask) {
    return num.load(e.at(e.buf(buffer), e.mul(index, num.bytes())), n, mask);
  }

  /// Sum over the row of f(x).
  Val sum(Val base, Val length, const std::function<Val(Val acc, Val x, int lanes, Val mask)>& f) {
    const int n = num.lanes();
    Vals init(static_cast<size_t>(unroll), num.constant(0, n));
    init.push_back(num.constant(0, 1));
    Vals acc = fold_vectors(e, length, n, unroll, init, [&](Val i, int vectors, int lanes, Val mask, const Vals& a) {
      Vals next = a;
      for (int u = 0; u < vectors; ++u) {
        const auto k = static_cast<size_t>(lanes == 1 ? unroll : u);
        next[k] = f(a[k], load(0, e.add(e.add(base, i), e.i64(int64_t{u} * n)), lanes, mask), lanes, mask);
      }
      return next;
    });
    Val single = acc.back();
    acc.pop_back();
    Val total = join_pairs(acc, [&](Val x, Val y) { return e.b.CreateFAdd(x, y); });
    return e.b.CreateFAdd(e.reduce_add(total), single);
  }

  /// The row of `length` elements at `base`; `first_row` is its place in the output seen as a matrix of `columns`
  /// columns (its whole self where the row is the last dimension).
  void row(Val base, Val length, Val first_row, const Dim& columns, bool one_line) {
    const int n = num.lanes();
    Val inverse = e.b.CreateFDiv(num.constant(1, 1), num.from_index(length));
    Val mean = nullptr, mean_n = nullptr;
    if (!rms) {
      mean =
          e.b.CreateFMul(sum(base, length, [&](Val acc, Val x, int, Val) { return e.b.CreateFAdd(acc, x); }), inverse);
      mean_n = e.splat(mean, n);
    }
    Val square = sum(base, length, [&](Val acc, Val x, int lanes, Val mask) {
      Val d = rms ? x : e.b.CreateFSub(x, lanes == 1 ? mean : mean_n);
      if (mask && !rms) d = e.b.CreateSelect(mask, d, num.constant(0, lanes));
      return e.fma(d, d, acc);
    });
    Val variance = e.fma(square, inverse, num.constant(epsilon, 1));
    Val factor = e.b.CreateFDiv(num.constant(1, 1), num.sqrt(variance));
    Val factor_n = e.splat(factor, n);
    const auto piece = [&](Val at, Val line, Val column, int lanes, Val mask) {
      Val x = load(0, e.add(base, at), lanes, mask);
      Val d = rms ? x : e.b.CreateFSub(x, lanes == 1 ? mean : mean_n);
      Val v = e.b.CreateFMul(d, lanes == 1 ? factor : factor_n);
      if (has_scale && has_bias)
        v = e.fma(v, load(2, at, lanes, mask), load(3, at, lanes, mask));
      else if (has_scale)
        v = e.b.CreateFMul(v, load(2, at, lanes, mask));
      else if (has_bias)
        v = e.b.CreateFAdd(v, load(3, at, lanes, mask));
      if (epilogue.empty()) return num.store(v, e.at(e.buf(1), e.mul(e.add(base, at), num.bytes())), mask);
      v = epilogue.apply(e, 4, v, line, column, lanes, mask);
      e.store(epilogue.result(), v, e.at(e.buf(1), e.mul(e.add(base, at), dtype_bits(epilogue.result()) / 8)), mask);
    };
    const auto line = [&](Val start, Val width, Val index) {
      fold_vectors(e, width, n, unroll, {}, [&](Val i, int vectors, int lanes, Val mask, const Vals&) {
        for (int u = 0; u < vectors; ++u) {
          Val column = e.add(i, e.i64(int64_t{u} * n));
          piece(e.add(start, column), index, column, lanes, mask);
        }
        return Vals{};
      });
    };
    if (one_line) return line(e.i64(0), length, first_row);
    Val width = e.dim(columns);
    e.for_each(e.i64(0), e.div(length, width), 1, [&](Val k) { line(e.mul(k, width), width, e.add(first_row, k)); });
  }
};

}  // namespace

Status lower_layer_norm(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::LayerNorm>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  if (!Numeric::supports(type) || !Numeric::is_float(type))
    return fail(Code::kUnsupported, "normalisation of " + std::string(dtype_name(type)) + " is not generated yet");
  const auto given = [&](size_t i) { return i < static_cast<size_t>(node.anchor_inputs) && node.inputs[i] != kNoId; };
  for (size_t i = 1; i < 3; ++i)
    if (given(i) && !(product(lowering.shape(node.inputs[i])) == product(Shape(x.begin() + op.axis, x.end()))))
      return fail(Code::kUnsupported, "scale and bias must have the normalised shape");

  const Dim rows = product(Shape(x.begin(), x.begin() + op.axis)),
            length = product(Shape(x.begin() + op.axis, x.end()));
  if (product(x).equals(0)) return {};
  Epilogue epilogue(lowering, node);
  const Dim& columns = x.back();
  const bool one_line = epilogue.empty() || static_cast<size_t>(op.axis) + 1 == x.size();

  Call call;
  call.buffers = {lowering.buffer(in), lowering.buffer(out), given(1) ? lowering.buffer(node.inputs[1]) : kNone,
                  given(2) ? lowering.buffer(node.inputs[2]) : kNone};
  call.buffers.insert(call.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  std::vector<Dim> dims{rows, length, columns};
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  call.scalars = Lowering::symbolic(dims);
  const int64_t row_bytes = std::max<int64_t>(1, lowering.typical(length)) * dtype_bits(type) / 8;
  const bool small = row_bytes * lowering.typical(rows) <= kSmallBytes;
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / 2 / row_bytes);
  call.tasks = small ? Dim(1) : ceil_div(rows, per_task);
  int unroll = kMostUnroll;
  call.kernel = lowering.kernel("layer_norm", call.scalars, [&](Emitter& e) {
    Numeric num{e, type};
    if (const auto n = length.as_const())
      while (unroll > 1 && *n / num.lanes() < unroll) unroll /= 2;
    NormEmitter emitter{e, num, epilogue, op.rms, op.epsilon, given(1), given(2), unroll};
    Val from = small ? e.i64(0) : e.mul(e.begin(), per_task);
    Val to = small ? e.dim(rows) : e.imin(e.mul(e.end(), per_task), e.dim(rows));
    e.for_each(from, to, 1, [&](Val row) {
      Val size = e.dim(length), base = e.mul(row, size);
      emitter.row(base, size, one_line ? row : e.div(base, e.dim(columns)), columns, one_line);
    });
    e.ret();
  });
  call.tactic = "rows";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
