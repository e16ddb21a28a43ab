// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_elements.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_gather_elements(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::GatherElements>();
  const ValueId in = node.inputs[0], indices = node.inputs[1], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  LATHE_TRY(const int bytes, element_bytes(lowering.dtype(in)));
  const DType index_type = lowering.dtype(indices);
  const auto axis = static_cast<size_t>(op.axis);
  const auto strides = row_strides(x);
  // Tasks are the leading dimensions; the last one is the loop.
  std::vector<Dim> grid(y.begin(), y.end() - 1);
  if (grid.empty()) grid.emplace_back(1);
  const bool small = bytes * lowering.typical(product(y)) <= kSmallBytes;
  std::vector<Dim> dims(y.begin(), y.end());
  dims.insert(dims.end(), strides.begin(), strides.end());
  dims.push_back(x[axis]);
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(in), lowering.buffer(indices), lowering.buffer(out)};
  call.tasks = small ? Dim(1) : product(grid);
  call.kernel = lowering.kernel("gather_elements", call.scalars, [&](Emitter& e) {
    const auto task = [&](const Vals& at) {
      Val base = e.i64(0), row = e.i64(0);
      for (size_t d = 0; d + 1 < y.size(); ++d) {
        row = e.add(e.mul(row, e.dim(y[d])), at[d]);
        if (d != axis) base = e.add(base, e.mul(at[d], e.dim(strides[d])));
      }
      Val n = e.dim(y.back()), limit = e.dim(x[axis]);
      row = e.mul(row, n);
      e.for_each(e.i64(0), n, 1, [&](Val i) {
        Val place = e.add(row, i);
        Val index = load_index(e, index_type, e.at(e.buf(1), e.mul(place, dtype_bits(index_type) / 8)), limit);
        Val from = e.add(base, e.mul(index, e.dim(strides[axis])));
        if (axis + 1 != y.size()) from = e.add(from, i);
        e.store(bits_type(bytes), e.load(bits_type(bytes), e.at(e.buf(0), e.mul(from, bytes))),
                e.at(e.buf(2), e.mul(place, bytes)));
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
