// SPDX-License-Identifier: Apache-2.0
#include "ops/lstm.h"

#include <algorithm>

#include "ops/_recurrent.h"

namespace lathe::ops {

namespace {

Recurrent recurrent(const Lstm& o) {
  return {o.activations, o.direction, o.hidden_size, o.clip, o.layout, 4, {"Sigmoid", "Tanh", "Tanh"}, 6, 7};
}

}  // namespace

Result<std::vector<ValueInfo>> Lstm::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  return recurrent(*this).infer(inputs);
}

// Gates in the order input, output, forget, cell; peepholes input, output, forget.
Result<std::vector<Tensor>> Lstm::evaluate(std::span<const Tensor> inputs) const {
  const Recurrent rnn = recurrent(*this);
  return rnn.evaluate(inputs, [&](Recurrent::Step& s) {
    const auto n = static_cast<int64_t>(s.h.size());
    std::vector<float> next(s.h.size());
    for (int64_t i = 0; i < n; ++i) {
      const auto gate = [&](int64_t g) { return s.x[static_cast<size_t>(g * n + i)] + rnn.recur(s, g * n + i); };
      const auto peep = [&](int64_t g, float c) { return s.p ? s.p[g * n + i] * c : 0; };
      float& c = s.c[static_cast<size_t>(i)];
      const float in = rnn.activate(s.direction, 0, gate(0) + peep(0, c));
      const float forget = input_forget ? 1 - in : rnn.activate(s.direction, 0, gate(2) + peep(2, c));
      c = forget * c + in * rnn.activate(s.direction, 1, gate(3));
      if (cell_clip > 0) c = std::clamp(c, static_cast<float>(-cell_clip), static_cast<float>(cell_clip));
      const float out = rnn.activate(s.direction, 0, gate(1) + peep(1, c));
      next[static_cast<size_t>(i)] = out * rnn.activate(s.direction, 2, c);
    }
    s.h = next;
  });
}

double Lstm::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  return recurrent(*this).flops(inputs);
}

const OpInfo& op_lstm() { return op_info<Lstm>(); }

}  // namespace lathe::ops
