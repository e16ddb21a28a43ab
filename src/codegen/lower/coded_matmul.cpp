// SPDX-License-Identifier: Apache-2.0
// Matrix products with weights in codes of a few bits: decoded in registers, or a block at a time where many rows share
// the work.
#include "ops/coded_matmul.h"

#include <algorithm>

#include "codegen/contraction.h"
#include "codegen/lower/lower.h"

namespace lathe::codegen {

namespace {
constexpr int kPanelVectors = 4;
}

Status lower_coded_matmul(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::CodedMatMul>();
  const auto constant = [&](size_t i) {
    const bool given = i < static_cast<size_t>(node.anchor_inputs) && node.inputs[i] != kNoId;
    const auto& c = given ? lowering.value(node.inputs[i]).constant : std::nullopt;
    return c ? *c : Tensor();
  };
  const Tensor code = constant(1), scale = constant(2), zero = constant(3);
  if (code.empty() || scale.empty() || (node.anchor_inputs > 3 && node.inputs[3] != kNoId && zero.empty()))
    return fail(Code::kUnsupported, "codes, scales and zero points must be constant");
  const Shape& a = lowering.shape(node.inputs[0]);
  const int64_t columns = code.dims()[0], k = code.dims()[1];
  if (columns == 0 || k == 0) return fail(Code::kUnsupported, "there are no weights");
  const int lanes = layout_target(lowering).f32_lanes();
  const int panel = static_cast<int>(std::min<int64_t>(kPanelVectors, (columns + lanes - 1) / lanes)) * lanes;
  Contraction c;
  LATHE_TRY(c.coding, choose_coding(code, scale, zero, op.block, panel));
  c.k = k;
  c.columns = columns;
  c.a_k = 4;
  c.a_x = 4 * k;
  c.x.in = c.x.out = product(Shape(a.begin(), a.end() - 1));
  c.out_image = c.x.out;
  const BufferId w = lowering.weight(pack_codes(*c.coding, code, scale, zero));
  const Schedule s = pick_schedule(lowering, node, c, panel, "tile");
  return call_contraction(lowering, node, c, s, lowering.buffer(node.inputs[0]), w, kNone, "matmul");
}

}  // namespace lathe::codegen
