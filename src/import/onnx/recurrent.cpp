// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/handlers.h"

namespace lathe::onnx {

// LSTM, GRU and RNN as they are; attributes have ONNX's names.
Result<Values> recurrent(Node& n) {
  for (const char* name : {"activation_alpha", "activation_beta"})
    if (const auto* a = n.attr(name); a && !a->floats.empty())
      return unsupported(std::string(name) + " is not supported");
  const auto w = n.shape(2);  // R: [directions, gates * hidden, hidden]
  if (w.size() != 3 || !w[2].is_const()) return damaged("R must be of rank 3 with a known hidden size");
  if (n.attr("hidden_size") && !w[2].equals(n.i("hidden_size", 0)))
    return damaged("hidden_size does not agree with R " + shape_str(w));
  const OpInfo* info = find_op(n.canonical());
  if (!info) return unsupported("operator " + std::string(n.canonical()) + " is not supported");
  std::shared_ptr<Op> op = info->make();
  n.copy_attributes(*op);
  Values inputs = n.inputs();
  while (!inputs.empty() && inputs.back() == kNoId) inputs.pop_back();
  return n.done(n.b.add_all(std::move(op), std::move(inputs)));
}

}  // namespace lathe::onnx
