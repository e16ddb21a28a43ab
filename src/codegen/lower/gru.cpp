// SPDX-License-Identifier: Apache-2.0
#include "ops/gru.h"

#include "codegen/lower/lower.h"
#include "codegen/recurrent.h"

namespace lathe::codegen {

Status lower_gru(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Gru>();
  Recurrence r{.cell = Cell::kGru,
               .hidden = op.hidden_size,
               .direction = op.direction,
               .activations = op.activations,
               .clip = op.clip,
               .layout = op.layout};
  r.linear_before_reset = op.linear_before_reset;
  return lower_recurrence(lowering, node, r);
}

}  // namespace lathe::codegen
