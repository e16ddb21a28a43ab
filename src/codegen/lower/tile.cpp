// SPDX-License-Identifier: Apache-2.0
#include "ops/tile.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_tile(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  auto repeats = content_of(lowering.graph.info(node.inputs[1]));
  if (!repeats) {
    SizesCall sizes{"lathe_tile_sizes",
                    {lowering.buffer(node.inputs[1])},
                    {static_cast<int64_t>(lowering.dtype(node.inputs[1])), static_cast<int64_t>(x.size())},
                    {x},
                    size_symbols(lowering, node)};
    repeats.emplace();
    for (size_t d = 0; d < x.size(); ++d) {
      repeats->push_back(local_symbol(node, "repeat", d));
      sizes.symbols.push_back(repeats->back().symbol_name());
    }
    LATHE_CHECK(lower_sizes(lowering, node, std::move(sizes)));
  }
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(x), to = row_strides(y);
  for (size_t d = 0; d < x.size(); ++d) {
    copy.axes.push_back({(*repeats)[d], 0, x[d] * to[d]});
    copy.axes.push_back({x[d], from[d], to[d]});
  }
  copy.simplify();
  if (copy.contiguous()) {
    lowering.alias(out, in);
    return {};
  }
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), copy);
}

}  // namespace lathe::codegen
