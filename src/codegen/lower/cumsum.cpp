// SPDX-License-Identifier: Apache-2.0
#include "ops/cumsum.h"

#include <functional>

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/numeric.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_cumsum(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::CumSum>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  const DType type = lowering.dtype(in);
  const auto axes = integers_of(lowering.graph.info(node.inputs[1]));
  if (!Numeric::supports(type))
    return fail(Code::kUnsupported,
                "running sums and products of " + std::string(dtype_name(type)) + " are not generated yet");
  Dim outer = 1, length = 1, inner = 1;
  if (axes && axes->size() == 1) {
    const int64_t axis = (*axes)[0] < 0 ? (*axes)[0] + static_cast<int64_t>(x.size()) : (*axes)[0];
    outer = product(Shape(x.begin(), x.begin() + axis));
    length = x[static_cast<size_t>(axis)];
    inner = product(Shape(x.begin() + axis + 1, x.end()));
  } else {
    outer = local_symbol(node, "outer");
    length = local_symbol(node, "length");
    inner = local_symbol(node, "inner");
    LATHE_CHECK(lower_sizes(lowering, node,
                            {"lathe_axis_sizes",
                             {lowering.buffer(node.inputs[1])},
                             {static_cast<int64_t>(lowering.dtype(node.inputs[1])), static_cast<int64_t>(x.size())},
                             {x},
                             {outer.symbol_name(), length.symbol_name(), inner.symbol_name()}}));
  }
  const bool small = lowering.typical(product(x)) * dtype_bits(type) / 8 <= kSmallBytes;
  constexpr int64_t kBlock = 1024;  // columns of a task
  const std::vector<Dim> grid{outer, ceil_div(inner, kBlock)};
  Call call;
  call.scalars = Lowering::symbolic({outer, inner, length, grid[1]});
  call.buffers = {lowering.buffer(in), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : product(grid);
  call.kernel = lowering.kernel("cumsum", call.scalars, [&](Emitter& e) {
    Numeric num{e, type};
    const auto task = [&](const Vals& at) {
      Val size = e.dim(inner), n = e.dim(length), first = e.mul(at[1], kBlock);
      Val base = e.mul(e.mul(at[0], n), size);
      Val width = e.imin(e.sub(size, first), e.i64(kBlock));
      if (inner.equals(1)) {  // the sum stays in a register
        Val start = e.mul(base, num.bytes());
        e.loop(e.i64(0), n, 1, {num.constant(op.product ? 1 : 0, 1)}, [&](Val i, const Vals& sum) {
          Val there = e.add(start, e.mul(op.reverse ? e.sub(e.sub(n, e.i64(1)), i) : i, num.bytes()));
          Val v = num.load(e.at(e.buf(0), there), 1);
          Val next = op.product ? num.mul(sum[0], v) : num.add(sum[0], v);
          num.store(op.exclusive ? sum[0] : next, e.at(e.buf(1), there));
          return Vals{next};
        });
        return;
      }
      // Line by line, so that memory is read in order; the line before holds the sums so far.
      const auto place = [&](Val i, Val c) {
        Val line = op.reverse ? e.sub(e.sub(n, e.i64(1)), i) : i;
        return e.mul(e.add(e.add(base, e.mul(line, size)), e.add(first, c)), num.bytes());
      };
      const auto line = [&](Val i, const std::function<Val(Val at, int lanes, Val mask)>& value) {
        e.for_vectors(width, num.lanes(), [&](Val c, int lanes, Val mask) {
          num.store(value(c, lanes, mask), e.at(e.buf(1), place(i, c)), mask);
        });
      };
      e.if_then(e.b.CreateICmpSGT(n, e.i64(0)), [&] {
        line(e.i64(0), [&](Val c, int lanes, Val mask) {
          return op.exclusive ? num.constant(op.product ? 1 : 0, lanes)
                              : num.load(e.at(e.buf(0), place(e.i64(0), c)), lanes, mask);
        });
        e.for_each(e.i64(1), n, 1, [&](Val i) {
          Val before = e.sub(i, e.i64(1));
          line(i, [&](Val c, int lanes, Val mask) {
            Val sum = num.load(e.at(e.buf(1), place(before, c)), lanes, mask);
            Val v = num.load(e.at(e.buf(0), place(op.exclusive ? before : i, c)), lanes, mask);
            return op.product ? num.mul(sum, v) : num.add(sum, v);
          });
        });
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
