// SPDX-License-Identifier: Apache-2.0
#include "ops/permute.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_permute(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], perm = node.inputs[1], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(x), to = row_strides(y);
  if (const auto known = integers_of(lowering.graph.info(perm))) {
    for (size_t d = 0; d < y.size(); ++d) copy.axes.push_back({y[d], from[static_cast<size_t>((*known)[d])], to[d]});
    return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), std::move(copy));
  }
  SizesCall sizes{"lathe_permute_sizes",
                  {lowering.buffer(perm)},
                  {static_cast<int64_t>(lowering.dtype(perm)), static_cast<int64_t>(x.size())},
                  {x},
                  size_symbols(lowering, node)};
  for (size_t d = 0; d < y.size(); ++d) {
    const Dim stride = local_symbol(node, "stride", d);
    sizes.symbols.push_back(stride.symbol_name());
    copy.axes.push_back({y[d], stride, to[d]});
  }
  LATHE_CHECK(lower_sizes(lowering, node, std::move(sizes)));
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), std::move(copy));
}

}  // namespace lathe::codegen
