// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_nd.h"

#include "codegen/lower/lower.h"
#include "codegen/scatter.h"

namespace lathe::codegen {

Status lower_scatter_nd(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::ScatterND>();
  const ValueId indices = node.inputs[1], updates = node.inputs[2];
  const Shape &x = lowering.shape(node.inputs[0]), &t = lowering.shape(indices);
  LATHE_TRY(const Scatter scatter, Scatter::make(lowering, node, op.reduction));
  const DType index_type = lowering.dtype(indices);
  const int64_t depth = t.back().value();
  const auto strides = row_strides(x);
  const Dim tuples = product(Shape(t.begin(), t.end() - 1)), slice = product(Shape(x.begin() + depth, x.end()));
  std::vector<Dim> dims{tuples, slice};
  dims.insert(dims.end(), strides.begin(), strides.end());
  dims.insert(dims.end(), x.begin(), x.end());
  Call call;
  call.scalars = Lowering::symbolic(dims);
  call.buffers = {lowering.buffer(indices), lowering.buffer(updates), lowering.buffer(node.outputs[0])};
  call.kernel = lowering.kernel("scatter_nd", call.scalars, [&](Emitter& e) {
    Val size = e.dim(slice);
    e.for_each(e.i64(0), e.dim(tuples), 1, [&](Val i) {
      Val to = e.i64(0);
      for (int64_t k = 0; k < depth; ++k) {
        const auto d = static_cast<size_t>(k);
        Val index = load_index(e, index_type,
                               e.at(e.buf(0), e.mul(e.add(e.mul(i, depth), e.i64(k)), dtype_bits(index_type) / 8)),
                               e.dim(x[d]));
        to = e.add(to, e.mul(index, e.dim(strides[d])));
      }
      scatter.put(e, e.at(e.buf(2), e.mul(to, scatter.bytes())), e.at(e.buf(1), e.mul(e.mul(i, size), scatter.bytes())),
                  size);
    });
    e.ret();
  });
  return lowering.call(node, std::move(call));
}

}  // namespace lathe::codegen
