// SPDX-License-Identifier: Apache-2.0
#include "ops/rnn.h"

#include "ops/_recurrent.h"

namespace lathe::ops {

namespace {

Recurrent recurrent(const Rnn& o) {
  return {o.activations, o.direction, o.hidden_size, o.clip, o.layout, 1, {"Tanh"}, 0, 0};
}

}  // namespace

Result<std::vector<ValueInfo>> Rnn::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  return recurrent(*this).infer(inputs);
}

Result<std::vector<Tensor>> Rnn::evaluate(std::span<const Tensor> inputs) const {
  const Recurrent rnn = recurrent(*this);
  return rnn.evaluate(inputs, [&](Recurrent::Step& s) {
    std::vector<float> next(s.h.size());
    for (size_t i = 0; i < next.size(); ++i)
      next[i] = rnn.activate(s.direction, 0, s.x[i] + rnn.recur(s, static_cast<int64_t>(i)));
    s.h = next;
  });
}

double Rnn::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  return recurrent(*this).flops(inputs);
}

const OpInfo& op_rnn() { return op_info<Rnn>(); }

}  // namespace lathe::ops
