// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_nd.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_gather_nd(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::GatherND>();
  const ValueId in = node.inputs[0], indices = node.inputs[1], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &t = lowering.shape(indices);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(in)));
  const DType index_type = lowering.dtype(indices);
  const int64_t depth = t.back().value(), shared = op.batch_dims;
  const auto strides = row_strides(x);
  const Dim batch = product(Shape(t.begin(), t.begin() + shared)),
            tuples = product(Shape(t.begin() + shared, t.end() - 1));
  const Dim batch_stride = product(Shape(x.begin() + shared, x.end())),
            slice = product(Shape(x.begin() + shared + depth, x.end()));
  const int64_t slice_bytes = std::max<int64_t>(1, bytes * lowering.typical(slice));
  const bool small = slice_bytes * lowering.typical(batch * tuples) <= kSmallBytes;
  const int64_t per_task = std::max<int64_t>(1, kSmallBytes / slice_bytes);
  const std::vector<Dim> grid{batch, ceil_div(tuples, per_task)};
  std::vector<Dim> dims{batch, tuples, batch_stride, slice, grid[1]};
  dims.insert(dims.end(), strides.begin(), strides.end());
  dims.insert(dims.end(), x.begin(), x.end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(indices), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : product(grid);
  call.kernel = lowering.kernel("gather_nd", call.scalars, [&](Emitter& e) {
    const auto task = [&](const Vals& at) {
      Val n = e.dim(tuples), size = e.dim(slice), first = e.mul(at[1], per_task);
      e.for_each(first, e.imin(e.add(first, e.i64(per_task)), n), 1, [&](Val i) {
        Val tuple = e.add(e.mul(at[0], n), i), from = e.mul(at[0], e.dim(batch_stride));
        for (int64_t k = 0; k < depth; ++k) {
          const auto d = static_cast<size_t>(shared + k);
          Val index = load_index(
              e, index_type, e.at(e.buf(1), e.mul(e.add(e.mul(tuple, depth), e.i64(k)), dtype_bits(index_type) / 8)),
              e.dim(x[d]));
          from = e.add(from, e.mul(index, e.dim(strides[d])));
        }
        emit_copy(e, e.at(e.buf(2), e.mul(e.mul(tuple, size), bytes)), e.at(e.buf(0), e.mul(from, bytes)), size, bytes);
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
