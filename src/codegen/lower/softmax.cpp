// SPDX-License-Identifier: Apache-2.0
// Softmax along the last dimension: a short row stays in registers, a long one is read for its maximum, its sum and its
// result. Along another dimension vectors run over the last one, and the lanes are independent rows.
#include "ops/softmax.h"

#include <algorithm>

#include "codegen/blocks.h"
#include "codegen/elementary.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"

namespace lathe::codegen {

namespace {

struct SoftmaxEmitter {
  Emitter& e;
  Numeric num;
  int work_bytes = dtype_bits(num.type) / 8;
  const Epilogue& epilogue;
  bool log;

  Val element(int buffer, Val index, int64_t bytes) { return e.at(e.buf(buffer), e.mul(index, bytes)); }
  Val load(Val index, int n, Val mask) { return num.load(element(0, index, num.bytes()), n, mask); }
  /// A result: `row`, `column` place it in the output seen as a matrix.
  void store(Val v, Val index, Val row, Val column, int n, Val mask) {
    if (epilogue.empty()) return num.store(v, element(1, index, num.bytes()), mask);
    v = epilogue.apply(e, 2, v, row, column, n, mask);
    e.store(epilogue.result(), v, element(1, index, dtype_bits(epilogue.result()) / 8), mask);
  }
  /// Maximum where one of the two may be NaN in any lane: the sum then is NaN, and with it the whole row, so the
  /// maximum itself need not keep it.
  Val larger(Val a, Val b) { return e.b.CreateSelect(e.b.CreateFCmpOGT(a, b), a, b); }
  Val largest_lane(Val v) {
    return join_lanes(e, v, [&](Val a, Val b) { return larger(a, b); });
  }
  Val sum_of(const Vals& v) {
    return join_pairs(v, [&](Val a, Val b) { return e.b.CreateFAdd(a, b); });
  }
  Val largest_of(const Vals& v) {
    return join_pairs(v, [&](Val a, Val b) { return larger(a, b); });
  }
  /// Exponentials of many vectors, four at a time.
  Vals powers(const Vals& x) {
    Vals r;
    for (size_t i = 0; i < x.size(); i += 4) {
      const auto first = x.begin() + static_cast<ptrdiff_t>(i);
      const Vals part(first, first + static_cast<ptrdiff_t>(std::min<size_t>(4, x.size() - i)));
      for (Val v : together(e, part, [&](Val w) { return exp_of_nonpositive(e, num.type, w); })) r.push_back(v);
    }
    return r;
  }
  /// What turns exponentials (or, for log, differences) into results.
  Val normalizer(Val sum) {
    return log ? elementary(e, Prim::kLog, num.type, sum) : e.b.CreateFDiv(num.constant(1, 1), sum);
  }
  Val result(Val v, Val normal) { return log ? e.b.CreateFSub(v, normal) : e.b.CreateFMul(v, normal); }

  /// A row of `length` elements in registers.
  void short_row(Val row, int64_t length) {
    const int n = num.lanes();
    const auto whole = length / n, rest = length % n;
    Val mask = rest ? e.lane_mask(e.i64(rest), n) : nullptr;
    Val base = e.mul(row, length);
    const auto count = static_cast<size_t>(whole + (rest != 0));
    const auto mask_of = [&](size_t i) { return rest && i + 1 == count ? mask : nullptr; };
    Vals x;
    for (size_t i = 0; i < count; ++i) {
      Val v = load(e.add(base, e.i64(static_cast<int64_t>(i) * n)), n, mask_of(i));
      x.push_back(mask_of(i) ? e.b.CreateSelect(mask, v, num.lowest(n)) : v);
    }
    Val top = e.splat(largest_lane(largest_of(x)), n);
    for (Val& v : x) v = e.b.CreateFSub(v, top);
    const Vals power = powers(x);
    Val normal = e.splat(normalizer(e.reduce_add(sum_of(power))), n);
    for (size_t i = 0; i < count; ++i) {
      Val at = e.i64(static_cast<int64_t>(i) * n);
      store(result(log ? x[i] : power[i], normal), e.add(base, at), row, at, n, mask_of(i));
    }
  }

  /// A row in three passes; exponentials wait in scratch.
  void long_row(Val row, const Dim& length) {
    constexpr int kUnroll = 4;
    const int n = num.lanes();
    Val size = e.dim(length), base = e.mul(row, size);
    // Accumulators: kUnroll vectors, and one scalar for single elements.
    const auto init = [&](Val vector, Val scalar) {
      Vals v(kUnroll, vector);
      v.push_back(scalar);
      return v;
    };
    const auto slot = [](int lanes, int u) { return static_cast<size_t>(lanes == 1 ? kUnroll : u); };
    Vals tops = fold_vectors(e, size, n, kUnroll, init(num.lowest(n), num.lowest(1)),
                             [&](Val i, int unroll, int lanes, Val mask, const Vals& a) {
                               Vals next = a;
                               for (int u = 0; u < unroll; ++u) {
                                 Val x = load(e.add(e.add(base, i), e.i64(int64_t{u} * n)), lanes, mask);
                                 Val m = larger(x, a[slot(lanes, u)]);
                                 next[slot(lanes, u)] = mask ? e.b.CreateSelect(mask, m, a[slot(lanes, u)]) : m;
                               }
                               return next;
                             });
    Val single = tops.back();
    tops.pop_back();
    Val top = larger(single, largest_lane(largest_of(tops)));
    Val top_n = e.splat(top, n);
    Vals sums =
        fold_vectors(e, size, n, kUnroll, init(num.constant(0, n), num.constant(0, 1)),
                     [&](Val i, int unroll, int lanes, Val mask, const Vals& a) {
                       Vals next = a, x;
                       const auto at = [&](int u) { return e.add(i, e.i64(int64_t{u} * n)); };
                       for (int u = 0; u < unroll; ++u)
                         x.push_back(e.b.CreateFSub(load(e.add(base, at(u)), lanes, mask), lanes == 1 ? top : top_n));
                       const Vals p = powers(x);
                       for (int u = 0; u < unroll; ++u) {
                         Val v = p[static_cast<size_t>(u)];
                         if (mask) v = e.b.CreateSelect(mask, v, num.constant(0, n));
                         if (!log) e.store(num.type, v, e.at(e.scratch(), e.mul(at(u), work_bytes)), mask);
                         next[slot(lanes, u)] = e.b.CreateFAdd(a[slot(lanes, u)], v);
                       }
                       return next;
                     });
    single = sums.back();
    sums.pop_back();
    Val normal = normalizer(e.b.CreateFAdd(single, e.reduce_add(sum_of(sums))));
    Val normal_n = e.splat(normal, n);
    fold_vectors(e, size, n, kUnroll, {}, [&](Val i, int unroll, int lanes, Val mask, const Vals&) {
      for (int u = 0; u < unroll; ++u) {
        Val at = e.add(i, e.i64(int64_t{u} * n));
        Val v = log ? e.b.CreateFSub(load(e.add(base, at), lanes, mask), lanes == 1 ? top : top_n)
                    : e.load(num.type, e.at(e.scratch(), e.mul(at, work_bytes)), lanes, mask);
        store(result(v, lanes == 1 ? normal : normal_n), e.add(base, at), row, at, lanes, mask);
      }
      return Vals{};
    });
  }

  /// n independent softmaxes side by side: `length` steps of `stride` elements from `base`. `row`, `row_step`: the
  /// output's row of the first step and from one step to the next.
  void strided(Val base, const Dim& length, Val stride, Val row, Val row_step, Val column, int n, Val mask,
               bool in_registers) {
    const auto index = [&](Val k) { return e.add(e.add(base, e.mul(k, stride)), column); };
    const auto put = [&](Val v, Val k) { store(v, index(k), e.add(row, e.mul(k, row_step)), column, n, mask); };
    if (in_registers) {
      Vals x;
      for (int64_t k = 0; k < length.value(); ++k) x.push_back(load(index(e.i64(k)), n, mask));
      Val top = largest_of(x);
      for (Val& v : x) v = e.b.CreateFSub(v, top);
      const Vals power = powers(x);
      Val sum = sum_of(power);
      Val normal = log ? elementary(e, Prim::kLog, num.type, sum) : e.b.CreateFDiv(num.constant(1, n), sum);
      for (size_t k = 0; k < x.size(); ++k) put(result(log ? x[k] : power[k], normal), e.i64(static_cast<int64_t>(k)));
      return;
    }
    Val size = e.dim(length);
    Val top = e.loop(e.i64(0), size, 1, {num.lowest(n)},
                     [&](Val k, const Vals& a) { return Vals{larger(load(index(k), n, mask), a[0])}; })[0];
    Val sum = e.loop(e.i64(0), size, 1, {num.constant(0, n)}, [&](Val k, const Vals& a) {
      return Vals{e.b.CreateFAdd(a[0], exp_of_nonpositive(e, num.type, e.b.CreateFSub(load(index(k), n, mask), top)))};
    })[0];
    Val normal = log ? elementary(e, Prim::kLog, num.type, sum) : e.b.CreateFDiv(num.constant(1, n), sum);
    e.for_each(e.i64(0), size, 1, [&](Val k) {
      Val v = e.b.CreateFSub(load(index(k), n, mask), top);
      put(result(log ? v : exp_of_nonpositive(e, num.type, v), normal), k);
    });
  }
};

}  // namespace

Status lower_softmax(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Softmax>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  if (!Numeric::supports(type) || !Numeric::is_float(type))
    return fail(Code::kUnsupported, "softmax of " + std::string(dtype_name(type)) + " is not generated yet");
  const auto axis = static_cast<size_t>(op.axis);
  const Dim& length = x[axis];
  if (length.equals(0)) return {};
  const Target& target = lowering.target;
  const int work_bytes = type == DType::kF64 ? 8 : 4;
  const int lanes = target.vector_bits / 8 / work_bytes;

  Epilogue epilogue(lowering, node);
  // [outer, length, middle, inner]; without an epilogue the last two are one.
  const Dim outer = product(Shape(x.begin(), x.begin() + op.axis));
  Dim middle = product(Shape(x.begin() + op.axis + 1, x.end())), inner = 1;
  const bool last = middle.equals(1);
  const bool trailing_ones = last && axis + 1 < x.size();
  if (trailing_ones && !epilogue.empty()) return fail(Code::kUnsupported, "an epilogue behind dimensions of extent 1");
  if (!last) {
    inner = epilogue.empty() ? middle : x.back();
    middle = epilogue.empty() ? Dim(1) : product(Shape(x.begin() + op.axis + 1, x.end() - 1));
  }

  const int64_t bytes = lowering.typical(product(x)) * 4;
  const bool small = bytes <= kSmallBytes;
  Call call;
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.buffers.insert(call.buffers.end(), epilogue.buffers().begin(), epilogue.buffers().end());
  const int64_t registers = target.vector_registers * 3 / 4;
  const auto known = length.as_const();
  if (last) {
    const int64_t per_task = std::max<int64_t>(1, kSmallBytes / 2 / std::max<int64_t>(1, lowering.typical(length) * 4));
    std::vector<Dim> dims{length, outer};
    dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
    call.scalars = Lowering::symbolic(dims);
    call.tasks = small ? Dim(1) : ceil_div(outer, per_task);
    const bool in_registers = known && *known <= registers * lanes && (*known % lanes == 0 || target.masked_access);
    if (!in_registers && !op.log) call.scratch_bytes = length * work_bytes + 64;
    call.tactic = in_registers ? "registers" : "passes";
    call.kernel = lowering.kernel("softmax", call.scalars, [&](Emitter& e) {
      SoftmaxEmitter s{e, {e, type}, work_bytes, epilogue, op.log};
      Val from = small ? e.i64(0) : e.mul(e.begin(), per_task);
      Val to = small ? e.dim(outer) : e.imin(e.mul(e.end(), per_task), e.dim(outer));
      e.for_each(from, to, 1, [&](Val row) { in_registers ? s.short_row(row, *known) : s.long_row(row, length); });
      e.ret();
    });
    return lowering.call(node, std::move(call));
  }

  const bool in_registers = known && *known <= registers;
  const int64_t block =
      std::max<int64_t>(lanes, kSmallBytes / 4 / std::max<int64_t>(1, lowering.typical(length)) / lanes * lanes);
  const Dim blocks = ceil_div(inner, block);
  const std::vector<Dim> grid{outer, middle, blocks};
  std::vector<Dim> dims{length, outer, middle, inner, blocks, middle * inner};
  dims.insert(dims.end(), epilogue.scalars().begin(), epilogue.scalars().end());
  call.scalars = Lowering::symbolic(dims);
  call.tasks = small ? Dim(1) : product(grid);
  call.tactic = in_registers ? "columns in registers" : "columns";
  call.kernel = lowering.kernel("softmax", call.scalars, [&](Emitter& e) {
    SoftmaxEmitter s{e, {e, type}, work_bytes, epilogue, op.log};
    const auto task = [&](const Vals& at) {
      Val width = e.dim(inner), many = e.dim(middle);
      Val row = e.add(e.mul(e.mul(at[0], e.dim(length)), many), at[1]);
      Val first = e.mul(at[2], block);
      e.for_vectors(e.imin(e.sub(width, first), e.i64(block)), lanes, [&](Val i, int n, Val mask) {
        s.strided(e.mul(row, width), length, e.dim(middle * inner), row, many, e.add(first, i), n, mask, in_registers);
      });
    };
    if (small)
      for_nest(e, grid, task);
    else
      for_tasks(e, grid, task);
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
