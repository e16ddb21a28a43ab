// SPDX-License-Identifier: Apache-2.0
#include "ops/expand.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"
#include "codegen/sizes.h"

namespace lathe::codegen {

Status lower_expand(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(x), to = row_strides(y);
  if (any_fresh(lowering, node)) {
    const Shape& given = lowering.shape(node.inputs[1]);
    LATHE_CHECK(lower_sizes(lowering, node,
                            {"lathe_expand_sizes",
                             {lowering.buffer(node.inputs[1])},
                             {static_cast<int64_t>(lowering.dtype(node.inputs[1])), given[0],
                              static_cast<int64_t>(y.size()), static_cast<int64_t>(x.size())},
                             {x},
                             size_symbols(lowering, node)}));
  }
  for (size_t d = 0; d < y.size(); ++d) {
    const size_t lead = y.size() - x.size();
    if (d < lead || x[d - lead].equals(1)) {
      copy.axes.push_back({y[d], 0, to[d]});
    } else {
      // A size that only the run tells may be 1, and then repeats.
      const Dim moves = x[d - lead] == y[d] || x[d - lead].is_const() ? Dim(1) : min(x[d - lead] - 1, 1);
      copy.axes.push_back({y[d], from[d - lead] * moves, to[d]});
    }
  }
  copy.simplify();
  if (copy.contiguous()) {
    lowering.alias(out, in);
    return {};
  }
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), copy);
}

}  // namespace lathe::codegen
