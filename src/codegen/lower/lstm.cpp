// SPDX-License-Identifier: Apache-2.0
#include "ops/lstm.h"

#include "codegen/lower/lower.h"
#include "codegen/recurrent.h"

namespace lathe::codegen {

Status lower_lstm(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Lstm>();
  Recurrence r{.cell = Cell::kLstm,
               .hidden = op.hidden_size,
               .direction = op.direction,
               .activations = op.activations,
               .clip = op.clip,
               .layout = op.layout};
  r.cell_clip = op.cell_clip;
  r.input_forget = op.input_forget;
  return lower_recurrence(lowering, node, r);
}

}  // namespace lathe::codegen
