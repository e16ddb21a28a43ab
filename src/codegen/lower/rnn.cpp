// SPDX-License-Identifier: Apache-2.0
#include "ops/rnn.h"

#include "codegen/lower/lower.h"
#include "codegen/recurrent.h"

namespace lathe::codegen {

Status lower_rnn(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Rnn>();
  Recurrence r{.cell = Cell::kRnn,
               .hidden = op.hidden_size,
               .direction = op.direction,
               .activations = op.activations,
               .clip = op.clip,
               .layout = op.layout};
  return lower_recurrence(lowering, node, r);
}

}  // namespace lathe::codegen
