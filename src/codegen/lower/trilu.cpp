// SPDX-License-Identifier: Apache-2.0
#include "ops/trilu.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_trilu(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Trilu>();
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape& x = lowering.shape(in);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(in)));
  const bool shifted = node.inputs.size() > 1 && node.inputs[1] != kNoId;
  const Dim &columns = x.back(), &rows = x[x.size() - 2];
  const Dim outer = product(Shape(x.begin(), x.end() - 2));
  const int64_t row_bytes = bytes * std::max<int64_t>(1, lowering.typical(columns));
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / row_bytes);
  Call call;
  call.scalars = Lowering::symbolic({outer, rows, columns, outer * rows});
  call.buffers = {lowering.buffer(in), lowering.buffer(out), shifted ? lowering.buffer(node.inputs[1]) : kNone};
  call.tasks = ceil_div(outer * rows, per_task);
  call.kernel = lowering.kernel("trilu", call.scalars, [&](Emitter& e) {
    Val width = e.dim(columns), zero = e.constant_int(bits_type(bytes), 0);
    constexpr int64_t kFar = int64_t{1} << 50;
    Val shift = shifted ? e.imax(e.imin(e.load(DType::kI64, e.buf(2)), e.i64(kFar)), e.i64(-kFar)) : e.i64(0);
    e.for_each(e.mul(e.begin(), per_task), e.imin(e.mul(e.end(), per_task), e.dim(outer * rows)), 1, [&](Val row) {
      Val diagonal = e.add(e.rem(row, e.dim(rows)), shift);
      Val split = e.imax(e.imin(op.upper ? diagonal : e.add(diagonal, e.i64(1)), width), e.i64(0));
      Val base = e.mul(row, width);
      const auto at = [&](int buffer, Val column) { return e.at(e.buf(buffer), e.mul(e.add(base, column), bytes)); };
      Val rest = e.sub(width, split);
      if (op.upper) {
        emit_fill(e, at(1, e.i64(0)), zero, split, bytes);
        emit_copy(e, at(1, split), at(0, split), rest, bytes);
      } else {
        emit_copy(e, at(1, e.i64(0)), at(0, e.i64(0)), split, bytes);
        emit_fill(e, at(1, split), zero, rest, bytes);
      }
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
