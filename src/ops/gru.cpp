// SPDX-License-Identifier: Apache-2.0
#include "ops/gru.h"

#include "ops/_recurrent.h"

namespace lathe::ops {

namespace {

Recurrent recurrent(const Gru& o) {
  return {o.activations, o.direction, o.hidden_size, o.clip, o.layout, 3, {"Sigmoid", "Tanh"}, 0, 0};
}

}  // namespace

Result<std::vector<ValueInfo>> Gru::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  return recurrent(*this).infer(inputs);
}

// Gates in the order update, reset, hidden.
Result<std::vector<Tensor>> Gru::evaluate(std::span<const Tensor> inputs) const {
  const Recurrent rnn = recurrent(*this);
  return rnn.evaluate(inputs, [&](Recurrent::Step& s) {
    const auto n = static_cast<int64_t>(s.h.size());
    std::vector<float> update(s.h.size()), reset(s.h.size()), next(s.h.size());
    const auto x = [&](int64_t g, int64_t i) { return s.x[static_cast<size_t>(g * n + i)]; };
    for (int64_t i = 0; i < n; ++i) {
      update[static_cast<size_t>(i)] = rnn.activate(s.direction, 0, x(0, i) + rnn.recur(s, i));
      reset[static_cast<size_t>(i)] = rnn.activate(s.direction, 0, x(1, i) + rnn.recur(s, n + i));
    }
    std::vector<float> gated = s.h;
    for (size_t i = 0; i < gated.size(); ++i) gated[i] *= reset[i];
    const Recurrent::Step before{s.direction, {}, s.r, s.rb, s.p, gated, s.c};
    for (int64_t i = 0; i < n; ++i) {
      const auto k = static_cast<size_t>(i);
      const float recurrent_part =
          linear_before_reset ? reset[k] * rnn.recur(s, 2 * n + i) : rnn.recur(before, 2 * n + i);
      const float candidate = rnn.activate(s.direction, 1, x(2, i) + recurrent_part);
      next[k] = (1 - update[k]) * candidate + update[k] * s.h[k];
    }
    s.h = next;
  });
}

double Gru::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  return recurrent(*this).flops(inputs);
}

const OpInfo& op_gru() { return op_info<Gru>(); }

}  // namespace lathe::ops
