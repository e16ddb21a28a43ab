// SPDX-License-Identifier: Apache-2.0
#include "ops/_recurrent.h"

#include <algorithm>
#include <cmath>

namespace lathe::ops {

namespace {

struct Activation {
  std::string_view name;
  float (*f)(float);
};

// With ONNX's default parameters.
constexpr Activation kActivations[] = {
    {"Sigmoid", [](float v) { return 1 / (1 + std::exp(-v)); }},
    {"Tanh", [](float v) { return std::tanh(v); }},
    {"Relu", [](float v) { return std::max(v, 0.0f); }},
    {"HardSigmoid", [](float v) { return std::clamp(0.2f * v + 0.5f, 0.0f, 1.0f); }},
    {"LeakyRelu", [](float v) { return v < 0 ? 0.01f * v : v; }},
    {"ThresholdedRelu", [](float v) { return v > 1 ? v : 0; }},
    {"Elu", [](float v) { return v < 0 ? std::expm1(v) : v; }},
    {"Softsign", [](float v) { return v / (1 + std::abs(v)); }},
    {"Softplus", [](float v) { return std::log1p(std::exp(v)); }},
};

const Activation* find_activation(const std::string& name) {
  const auto same = [&](const Activation& a) {
    return std::ranges::equal(a.name, name, [](char x, char y) { return std::tolower(x) == std::tolower(y); });
  };
  const auto* it = std::ranges::find_if(kActivations, same);
  return it == std::end(kActivations) ? nullptr : it;
}

bool agrees(const Dim& a, const Dim& b) { return !a.is_const() || !b.is_const() || a == b; }

}  // namespace

Result<std::vector<ValueInfo>> Recurrent::infer(std::span<const ValueInfo> inputs) const {
  const size_t most = std::max<size_t>(6, std::max(initial_c, peepholes) + 1);
  LATHE_CHECK(check_inputs(inputs, 3, most));
  const ValueInfo &x = inputs[0], &w = inputs[1], &r = inputs[2];
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3) return fail(Code::kUsage, "X, W and R must be of rank 3");
  if (layout != 0 && layout != 1) return fail(Code::kUsage, "layout " + std::to_string(layout) + " is neither 0 nor 1");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    return fail(Code::kUsage, "direction \"" + direction + "\" is not known");
  const auto known_hidden = r.shape[2].as_const();
  if (!known_hidden || (hidden_size != 0 && hidden_size != *known_hidden))
    return fail(Code::kUsage,
                "hidden_size " + std::to_string(hidden_size) + " does not agree with R " + shape_str(r.shape));
  const int64_t h = *known_hidden;
  const Dim time = x.shape[layout == 1 ? 1 : 0], batch = x.shape[layout == 1 ? 0 : 1], dirs = directions();
  const auto fits = [&](size_t i, const Shape& wanted) {
    return !has(inputs, i) ||
           (inputs[i].shape.size() == wanted.size() && std::ranges::equal(inputs[i].shape, wanted, agrees));
  };
  const Shape state = layout == 1 ? Shape{batch, dirs, h} : Shape{dirs, batch, h};
  if (!fits(1, {dirs, gates * h, x.shape[2]}) || !fits(2, {dirs, gates * h, h}) || !fits(3, {dirs, 2 * gates * h}) ||
      !fits(4, {batch}) || !fits(5, state) || (initial_c > 0 && !fits(initial_c, state)) ||
      (peepholes > 0 && !fits(peepholes, {dirs, 3 * h})))
    return fail(Code::kUsage, "the weights or states do not fit X " + shape_str(x.shape) + ", W " + shape_str(w.shape) +
                                  ", R " + shape_str(r.shape));
  if (!activations.empty() &&
      static_cast<int64_t>(activations.size()) != directions() * static_cast<int64_t>(default_activations.size()))
    return fail(Code::kUsage, "needs " + std::to_string(default_activations.size()) + " activations a direction");
  for (const auto& a : activations)
    if (!find_activation(a)) return fail(Code::kUnsupported, "activation " + a + " is not supported");
  const Shape y = layout == 1 ? Shape{batch, time, dirs, h} : Shape{time, dirs, batch, h};
  std::vector<ValueInfo> out = {{x.dtype, y, nullptr, {}}, {x.dtype, state, nullptr, {}}};
  if (initial_c > 0) out.push_back({x.dtype, state, nullptr, {}});
  return out;
}

float Recurrent::activate(size_t dir, size_t which, float v) const {
  if (clip > 0) v = std::clamp(v, static_cast<float>(-clip), static_cast<float>(clip));
  const std::string& name =
      activations.empty() ? default_activations[which] : activations[dir * default_activations.size() + which];
  return find_activation(name)->f(v);
}

float Recurrent::recur(const Step& s, int64_t i) const {
  const auto n = static_cast<int64_t>(s.h.size());
  float sum = s.rb ? s.rb[i] : 0;
  for (int64_t k = 0; k < n; ++k) sum += s.r[i * n + k] * s.h[static_cast<size_t>(k)];
  return sum;
}

Result<std::vector<Tensor>> Recurrent::evaluate(std::span<const Tensor> inputs,
                                                const std::function<void(Step&)>& step) const {
  const DType dtype = inputs[0].dtype();
  std::vector<Tensor> in;
  for (size_t i = 0; i < inputs.size(); ++i)
    in.push_back(i == 4 || !has(inputs, i) ? inputs[i] : convert(inputs[i], DType::kF32));
  in.resize(8);
  const Tensor &x = in[0], &w = in[1], &r = in[2];
  const bool batch_first = layout == 1;
  const int64_t time = x.dims()[batch_first ? 1 : 0], batch = x.dims()[batch_first ? 0 : 1], features = x.dims()[2];
  const int64_t dirs = directions(), h = r.dims()[2], rows = gates * h;
  const auto data = [](const Tensor& t) -> const float* {
    return t.dtype() == DType::kUndefined ? nullptr : t.as<float>().data();
  };
  const float* bias = data(in[3]);
  const auto state_at = [&](int64_t d, int64_t n) { return (batch_first ? n * dirs + d : d * batch + n) * h; };
  const std::vector<int64_t> y_dims =
      batch_first ? std::vector<int64_t>{batch, time, dirs, h} : std::vector<int64_t>{time, dirs, batch, h};
  const std::vector<int64_t> state_dims =
      batch_first ? std::vector<int64_t>{batch, dirs, h} : std::vector<int64_t>{dirs, batch, h};
  Tensor y = Tensor::zeros(DType::kF32, y_dims), y_h = Tensor::zeros(DType::kF32, state_dims), y_c = y_h;
  if (initial_c > 0) y_c = Tensor::zeros(DType::kF32, state_dims);
  for (int64_t d = 0; d < dirs; ++d)
    for (int64_t n = 0; n < batch; ++n) {
      std::vector<float> hidden(static_cast<size_t>(h), 0.0f), cell = hidden;
      if (const float* from = data(in[5])) std::copy_n(from + state_at(d, n), h, hidden.begin());
      if (const float* from = initial_c > 0 ? data(in[initial_c]) : nullptr)
        std::copy_n(from + state_at(d, n), h, cell.begin());
      const int64_t length = has(inputs, 4) ? std::clamp<int64_t>(in[4].i64_at(n), 0, time) : time;
      const bool backwards = direction == "reverse" || d == 1;
      for (int64_t i = 0; i < length; ++i) {
        const int64_t t = backwards ? length - 1 - i : i;
        Step s{static_cast<size_t>(d),
               std::vector<float>(static_cast<size_t>(rows)),
               data(r) + d * rows * h,
               bias ? bias + d * 2 * rows + rows : nullptr,
               peepholes > 0 && data(in[peepholes]) ? data(in[peepholes]) + d * 3 * h : nullptr,
               hidden,
               cell};
        const float* xt = data(x) + (batch_first ? n * time + t : t * batch + n) * features;
        for (int64_t row = 0; row < rows; ++row) {
          float sum = bias ? bias[d * 2 * rows + row] : 0;
          for (int64_t k = 0; k < features; ++k) sum += data(w)[(d * rows + row) * features + k] * xt[k];
          s.x[static_cast<size_t>(row)] = sum;
        }
        step(s);
        const int64_t at = (batch_first ? (n * time + t) * dirs + d : (t * dirs + d) * batch + n) * h;
        std::ranges::copy(hidden, y.mutable_as<float>().begin() + at);
      }
      std::ranges::copy(hidden, y_h.mutable_as<float>().begin() + state_at(d, n));
      if (initial_c > 0) std::ranges::copy(cell, y_c.mutable_as<float>().begin() + state_at(d, n));
    }
  std::vector<Tensor> out = {convert(y, dtype), convert(y_h, dtype)};
  if (initial_c > 0) out.push_back(convert(y_c, dtype));
  return out;
}

double Recurrent::flops(std::span<const ValueInfo> inputs) const {
  const auto steps = (inputs[0].shape[0] * inputs[0].shape[1]).as_const();
  const auto weights = (product(inputs[1].shape) + product(inputs[2].shape)).as_const();
  return steps && weights ? 2.0 * static_cast<double>(*steps) * static_cast<double>(*weights) : 0;
}

}  // namespace lathe::ops
