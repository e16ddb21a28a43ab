// SPDX-License-Identifier: Apache-2.0
#include "ops/expand.h"

#include "codegen/blocks.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

Status lower_expand(Lowering& lowering, const Node& node) {
  const ValueId in = node.inputs[0], out = node.outputs[0];
  const Shape &x = lowering.shape(in), &y = lowering.shape(out);
  StridedCopy copy;
  LATHE_TRY(copy.bytes, element_bytes(lowering.dtype(in)));
  const auto from = row_strides(x), to = row_strides(y);
  for (size_t d = 0; d < y.size(); ++d) {
    const size_t lead = y.size() - x.size();
    const bool repeats = d < lead || (x[d - lead].equals(1) && !y[d].equals(1));
    if (!repeats && !(x[d - lead] == y[d]))
      return fail(Code::kUnsupported, "whether dimension " + x[d - lead].str() + " repeats to " + y[d].str() +
                                          " is not known at build time");
    copy.axes.push_back({y[d], repeats ? Dim(0) : from[d - lead], to[d]});
  }
  copy.simplify();
  if (copy.contiguous()) {
    lowering.alias(out, in);
    return {};
  }
  return lower_copy(lowering, node, lowering.buffer(in), lowering.buffer(out), copy);
}

}  // namespace lathe::codegen
