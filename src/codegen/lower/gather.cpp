// SPDX-License-Identifier: Apache-2.0
#include "ops/gather.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_gather(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Gather>();
  const auto axis = static_cast<size_t>(op.axis);
  const ValueId x = node.inputs[0], indices = node.inputs[1], out = node.outputs[0];
  const Shape& shape = lowering.shape(x);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(x)));
  const Dim outer = product(Shape(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis)));
  const Dim inner = product(Shape(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape.end()));
  const Dim& extent = shape[axis];
  const Dim count = product(lowering.shape(indices));

  // One index known at build time: a slice.
  const auto& constant = lowering.value(indices).constant;
  if (constant && constant->count() == 1) {
    const int64_t given = constant->i64_at(0);
    if (extent.is_const() && (given >= extent.value() || given < -extent.value()))
      return fail(Code::kUsage,
                  "index " + std::to_string(given) + " is out of range for a dimension of " + extent.str());
    StridedCopy copy;
    copy.bytes = bytes;
    copy.in_offset = (given < 0 ? extent + given : Dim(given)) * inner;
    copy.axes = {{outer, extent * inner, inner}, {inner, 1, 1}};
    if (extent.is_const() || given >= 0) {
      copy.simplify();
      if (extent.is_const() && copy.contiguous()) {
        lowering.alias(out, x, copy.in_offset * Dim(bytes));
        return {};
      }
      if (extent.is_const()) return lower_copy(lowering, node, lowering.buffer(x), lowering.buffer(out), copy);
    }
  }

  const DType index_type = lowering.dtype(indices);
  const int index_bytes = dtype_bits(index_type) / 8;
  const int64_t row = bytes * lowering.typical(inner);
  const int64_t total = row * lowering.typical(outer) * lowering.typical(count);
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / std::max<int64_t>(1, row));
  const Dim blocks = total <= kSmallBytes ? Dim(1) : ceil_div(count, per_task);
  const std::vector<Dim> grid = total <= kSmallBytes ? std::vector<Dim>{1} : std::vector<Dim>{outer, blocks};
  Call call;
  call.scalars = Lowering::symbolic({outer, inner, extent, count, extent * inner, blocks});
  call.buffers = {lowering.buffer(x), lowering.buffer(indices), lowering.buffer(out)};
  call.tasks = product(grid);
  call.kernel = lowering.kernel("gather", call.scalars, [&](Emitter& e) {
    Val n = e.dim(count), size = e.dim(inner), limit = e.dim(extent);
    auto range = [&](Val o, Val from, Val to) {
      Val source = e.at(e.buf(0), e.mul(e.mul(o, e.dim(extent * inner)), bytes));
      Val target = e.at(e.buf(2), e.mul(e.mul(e.mul(o, n), size), bytes));
      e.for_each(from, to, 1, [&](Val i) {
        Val index = load_index(e, index_type, e.at(e.buf(1), e.mul(i, index_bytes)), limit);
        emit_copy(e, e.at(target, e.mul(e.mul(i, size), bytes)), e.at(source, e.mul(e.mul(index, size), bytes)), size,
                  bytes);
      });
    };
    if (grid.size() == 1)
      e.for_each(e.i64(0), e.dim(outer), 1, [&](Val o) { range(o, e.i64(0), n); });
    else
      for_tasks(e, grid, [&](const Vals& at) {
        Val from = e.mul(at[1], per_task);
        range(at[0], from, e.imin(e.add(from, e.i64(per_task)), n));
      });
    e.ret();
  });
  call.tactic = "rows";
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
