// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_elements.h"

#include "codegen/lower/lower.h"
#include "codegen/scatter.h"

namespace lathe::codegen {

Status lower_scatter_elements(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::ScatterElements>();
  const ValueId indices = node.inputs[1], updates = node.inputs[2];
  const Shape &x = lowering.shape(node.inputs[0]), &u = lowering.shape(indices);
  LATHE_TRY(const Scatter scatter, Scatter::make(lowering, node, op.reduction));
  const DType index_type = lowering.dtype(indices);
  const auto axis = static_cast<size_t>(op.axis);
  const auto strides = row_strides(x);
  std::vector<Dim> dims(u.begin(), u.end());
  dims.insert(dims.end(), strides.begin(), strides.end());
  dims.push_back(x[axis]);
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(indices), lowering.buffer(updates), lowering.buffer(node.outputs[0])};
  call.kernel = lowering.kernel("scatter_elements", call.scalars, [&](Emitter& e) {
    for_nest(e, u, [&](const Vals& at) {
      Val from = e.i64(0), to = e.i64(0);
      for (size_t d = 0; d < u.size(); ++d) {
        from = e.add(e.mul(from, e.dim(u[d])), at[d]);
        if (d != axis) to = e.add(to, e.mul(at[d], e.dim(strides[d])));
      }
      Val index = load_index(e, index_type, e.at(e.buf(0), e.mul(from, dtype_bits(index_type) / 8)), e.dim(x[axis]));
      to = e.add(to, e.mul(index, e.dim(strides[axis])));
      scatter.put(e, e.at(e.buf(2), e.mul(to, scatter.bytes())), e.at(e.buf(1), e.mul(from, scatter.bytes())),
                  e.i64(1));
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
