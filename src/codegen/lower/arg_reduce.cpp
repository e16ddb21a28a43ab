// SPDX-License-Identifier: Apache-2.0
// Index of the extreme value. Along the last dimension every lane keeps the best of its elements, and the lanes are
// compared at the end; along another one the lanes are outputs.
#include "ops/arg_reduce.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"

namespace lathe::codegen {

namespace {

struct ArgEmitter {
  Emitter& e;
  Numeric num;
  bool max, last;

  Val above(Val x, Val y, bool or_equal) {
    using Predicate = llvm::CmpInst::Predicate;
    auto& b = e.b;
    if (num.fp())
      return b.CreateFCmp(max ? (or_equal ? Predicate::FCMP_OGE : Predicate::FCMP_OGT)
                              : (or_equal ? Predicate::FCMP_OLE : Predicate::FCMP_OLT),
                          x, y);
    if (num.is_signed())
      return b.CreateICmp(max ? (or_equal ? Predicate::ICMP_SGE : Predicate::ICMP_SGT)
                              : (or_equal ? Predicate::ICMP_SLE : Predicate::ICMP_SLT),
                          x, y);
    return b.CreateICmp(max ? (or_equal ? Predicate::ICMP_UGE : Predicate::ICMP_UGT)
                            : (or_equal ? Predicate::ICMP_ULE : Predicate::ICMP_ULT),
                        x, y);
  }
  /// x, which comes later, takes the place of `best`; NaN beats every number.
  Val wins(Val x, Val best) {
    Val r = above(x, best, last);
    if (!num.fp()) return r;
    Val x_nan = e.b.CreateFCmpUNO(x, x);
    return e.b.CreateOr(r, last ? x_nan : e.b.CreateAnd(x_nan, e.b.CreateFCmpORD(best, best)));
  }
  Val equal(Val x, Val y) {
    if (!num.fp()) return e.b.CreateICmpEQ(x, y);
    return e.b.CreateOr(e.b.CreateFCmpOEQ(x, y), e.b.CreateAnd(e.b.CreateFCmpUNO(x, x), e.b.CreateFCmpUNO(y, y)));
  }
  Val load(Val index, int n, Val mask) { return num.load(e.at(e.buf(0), e.mul(index, num.bytes())), n, mask); }
  void store(Val index, Val at, int n, Val mask) {
    e.store(DType::kI64, e.b.CreateZExt(index, e.vec(DType::kI64, n)), e.at(e.buf(1), e.mul(at, 8)), mask);
  }
  Val position(Val i, int n) {
    Val p = e.splat(e.b.CreateTrunc(i, e.b.getInt32Ty()), n);
    if (n == 1) return p;
    std::vector<llvm::Constant*> ids;
    for (int k = 0; k < n; ++k) ids.push_back(e.b.getInt32(static_cast<uint32_t>(k)));
    return e.b.CreateAdd(p, llvm::ConstantVector::get(ids));
  }

  void columns(Val base, Val stride, Val length, Val output, int n, Val mask) {
    const Vals r = e.loop(
        e.i64(1), length, 1, {load(base, n, mask), e.constant_int(DType::kI32, 0, n)}, [&](Val i, const Vals& a) {
          Val x = load(e.add(base, e.mul(i, stride)), n, mask);
          Val better = wins(x, a[0]);
          return Vals{e.b.CreateSelect(better, x, a[0]),
                      e.b.CreateSelect(better, e.splat(e.b.CreateTrunc(i, e.b.getInt32Ty()), n), a[1])};
        });
    store(r[1], output, n, mask);
  }

  void row(Val base, Val length, Val output) {
    const int n = num.lanes();
    Val first = load(base, 1, nullptr), zero = e.constant_int(DType::kI32, 0);
    Vals state = fold_vectors(e, length, n, 1, {e.splat(first, n), e.splat(zero, n), first, zero},
                              [&](Val i, int, int lanes, Val mask, const Vals& a) {
                                Vals next = a;
                                const size_t s = lanes == n ? 0 : 2;
                                Val x = load(e.add(base, i), lanes, mask);
                                Val better = wins(x, a[s]);
                                if (mask) better = e.b.CreateAnd(better, mask);
                                next[s] = e.b.CreateSelect(better, x, a[s]);
                                next[s + 1] = e.b.CreateSelect(better, position(i, lanes), a[s + 1]);
                                return next;
                              });
    Val best = state[2], index = state[3];
    for (int k = 0; k < n; ++k) {
      Val x = e.b.CreateExtractElement(state[0], static_cast<uint64_t>(k)),
          at = e.b.CreateExtractElement(state[1], static_cast<uint64_t>(k));
      Val same = equal(x, best);
      Val order = last ? e.b.CreateICmpSGT(at, index) : e.b.CreateICmpSLT(at, index);
      Val better = e.b.CreateSelect(same, order, wins(x, best));
      best = e.b.CreateSelect(better, x, best);
      index = e.b.CreateSelect(better, at, index);
    }
    store(index, output, 1, nullptr);
  }
};

}  // namespace

Status lower_arg_reduce(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::ArgReduce>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  if (!Numeric::supports(type))
    return fail(Code::kUnsupported,
                "the position of an extreme of " + std::string(dtype_name(type)) + " is not generated yet");
  const Dim outer = product(Shape(x.begin(), x.begin() + op.axis)),
            inner = product(Shape(x.begin() + op.axis + 1, x.end()));
  const Dim& length = x[static_cast<size_t>(op.axis)];
  if (length.equals(0)) return fail(Code::kUsage, "the reduced axis is empty");
  const bool rows = inner.equals(1);
  const bool small = lowering.typical(product(x)) * dtype_bits(type) / 8 <= kSmallBytes;
  const int lanes = lowering.target.vector_bits / std::max(32, dtype_bits(type));
  const int64_t block = int64_t{16} * lanes;
  const Dim blocks = rows ? Dim(1) : ceil_div(inner, block);
  const std::vector<Dim> grid{outer, blocks};
  Call call;
  call.scalars = Lowering::symbolic({outer, inner, length, blocks});
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : product(grid);
  call.tactic = rows ? "rows" : "columns";
  call.kernel = lowering.kernel("arg_reduce", call.scalars, [&](Emitter& e) {
    ArgEmitter a{e, {e, type}, op.kind == "max", op.select_last};
    const auto task = [&](const Vals& at) {
      Val size = e.dim(length), width = e.dim(inner);
      if (rows) return a.row(e.mul(at[0], size), size, at[0]);
      Val first = e.mul(at[1], block), base = e.mul(e.mul(at[0], size), width);
      e.for_vectors(e.imin(e.sub(width, first), e.i64(block)), lanes, [&](Val i, int n, Val mask) {
        Val column = e.add(first, i);
        a.columns(e.add(base, column), width, size, e.add(e.mul(at[0], width), column), n, mask);
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
