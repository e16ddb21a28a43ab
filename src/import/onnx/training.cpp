// SPDX-License-Identifier: Apache-2.0
// The optimizers of ai.onnx.preview.training: one step of each, elementwise. Inputs are the rate, how many updates
// there were, then for n tensors the parameters, the gradients and one or two accumulators; outputs are what becomes of
// the parameters and accumulators.
#include "import/onnx/training.h"

#include "import/onnx/handlers.h"

namespace lathe::onnx {

namespace {

/// What one tensor's update is made of; operators' names are those of the specification.
struct Step {
  Node& n;
  DType dtype;
  [[nodiscard]] ValueId scalar(double v) const { return n.b.scalar(dtype, v); }
  [[nodiscard]] ValueId add(ValueId x, ValueId y) const { return n.b.op("Add", {x, y}); }
  [[nodiscard]] ValueId sub(ValueId x, ValueId y) const { return n.b.op("Sub", {x, y}); }
  [[nodiscard]] ValueId mul(ValueId x, ValueId y) const { return n.b.op("Mul", {x, y}); }
  [[nodiscard]] ValueId div(ValueId x, ValueId y) const { return n.b.op("Div", {x, y}); }
  [[nodiscard]] ValueId scaled(double v, ValueId x) const { return mul(scalar(v), x); }
  /// The gradient with that of the penalty on the parameters' squares.
  [[nodiscard]] ValueId regularized(ValueId x, ValueId g) const {
    const double norm = n.f("norm_coefficient", 0);
    return norm == 0 ? g : add(scaled(norm, x), g);
  }
  /// v * old + w * fresh
  [[nodiscard]] ValueId mixed(double v, ValueId old, double w, ValueId fresh) const {
    return add(scaled(v, old), scaled(w, fresh));
  }
  /// Whether there were updates before this one.
  [[nodiscard]] ValueId updated() const { return n.b.op("Greater", {n.in(1), n.b.i64(0)}); }
};

/// Calls `update(step, rate, inputs of one tensor)` for each tensor; it returns what becomes of all but the gradient.
Result<Values> for_each_tensor(Node& n, size_t held, const auto& update) {
  const size_t count = n.input_count();
  if (count < 2 + held || (count - 2) % held != 0)
    return damaged("expects a rate, a count and " + std::to_string(held) + " inputs for each tensor");
  const size_t tensors = (count - 2) / held;
  Values results(tensors * (held - 1), kNoId);
  for (size_t t = 0; t < tensors; ++t) {
    Values own;
    for (size_t k = 0; k < held; ++k) own.push_back(n.in(2 + k * tensors + t));
    const Step step{n, n.b.dtype(own[0])};
    const Values made = update(step, n.in(0), own);
    for (size_t k = 0; k < made.size(); ++k) results[k * tensors + t] = made[k];
  }
  return n.done(std::move(results));
}

}  // namespace

Result<Values> adagrad(Node& n) {
  const double decay = n.f("decay_factor", 0), epsilon = n.f("epsilon", 0);
  return for_each_tensor(n, 3, [&](const Step& s, ValueId rate, const Values& own) -> Values {
    const ValueId x = own[0], g = s.regularized(x, own[1]);
    const ValueId updates = n.b.cast(n.in(1), s.dtype);
    const ValueId r = s.div(rate, s.add(s.scalar(1), s.scaled(decay, updates)));
    const ValueId h = s.add(own[2], s.mul(g, g));
    const ValueId step = s.div(s.mul(r, g), s.add(n.b.op("Sqrt", {h}), s.scalar(epsilon)));
    return {s.sub(x, step), h};
  });
}

Result<Values> adam(Node& n) {
  const double alpha = n.f("alpha", 0.9F), beta = n.f("beta", 0.999F), epsilon = n.f("epsilon", 0);
  const double after = n.f("norm_coefficient_post", 0);
  return for_each_tensor(n, 4, [&](const Step& s, ValueId rate, const Values& own) -> Values {
    const ValueId x = own[0], g = s.regularized(x, own[1]);
    const ValueId v = s.mixed(alpha, own[2], 1 - alpha, g);
    const ValueId h = s.mixed(beta, own[3], 1 - beta, s.mul(g, g));
    const ValueId t = n.b.cast(n.in(1), s.dtype);
    const auto rest = [&](double of) { return s.sub(s.scalar(1), n.b.op("Pow", {s.scalar(of), t})); };
    const ValueId corrected = s.div(s.mul(rate, n.b.op("Sqrt", {rest(beta)})), rest(alpha));
    const ValueId r = n.b.op("Where", {s.updated(), corrected, rate});
    const ValueId step = s.div(s.mul(r, v), s.add(n.b.op("Sqrt", {h}), s.scalar(epsilon)));
    const ValueId y = s.sub(x, step);
    return {after == 0 ? y : s.scaled(1 - after, y), v, h};
  });
}

Result<Values> momentum(Node& n) {
  const double alpha = n.f("alpha", 0), beta = n.f("beta", 0);
  const std::string mode = n.s("mode", "standard");
  if (mode != "standard" && mode != "nesterov")
    return damaged("mode \"" + mode + "\" is neither standard nor nesterov");
  return for_each_tensor(n, 3, [&](const Step& s, ValueId rate, const Values& own) -> Values {
    const ValueId x = own[0], g = s.regularized(x, own[1]);
    // The first gradient is taken whole.
    const ValueId share = n.b.op("Where", {s.updated(), s.scalar(beta), s.scalar(1)});
    const ValueId v = s.add(s.scaled(alpha, own[2]), s.mul(share, g));
    const ValueId step = mode == "nesterov" ? s.add(g, s.scaled(alpha, v)) : v;
    return {s.sub(x, s.mul(rate, step)), v};
  });
}

}  // namespace lathe::onnx
