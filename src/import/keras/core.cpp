// SPDX-License-Identifier: Apache-2.0
// Layers without windows or steps in time.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "import/keras/layer.h"
#include "ops/gather.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/softmax.h"

namespace lathe::keras {

namespace {

ValueId softmax(Layer& n, ValueId x, int64_t axis, bool log) {
  return n.b.make<ops::Softmax>({x}, [&](ops::Softmax& s) {
    s.axis = axis;
    s.log = log;
  });
}

struct Function {
  std::string_view name;
  ValueId (*apply)(Layer&, ValueId);
};

template <size_t N>
struct Name {
  char text[N];
  constexpr Name(const char (&t)[N]) { std::copy_n(t, N, text); }  // NOLINT(google-explicit-constructor)
};
template <Name kOp>
ValueId op(Layer& n, ValueId x) {
  return n.b.op(kOp.text, {x});
}

const Function kFunctions[] = {
    {"linear", [](Layer&, ValueId x) { return x; }},
    {"relu", op<"Relu">},
    {"sigmoid", op<"Sigmoid">},
    {"tanh", op<"Tanh">},
    {"softplus", op<"Softplus">},
    {"softsign", op<"Softsign">},
    {"selu", op<"Selu">},
    {"exponential", op<"Exp">},
    {"mish", op<"Mish">},
    {"silu", op<"Swish">},
    {"swish", op<"Swish">},
    {"hard_silu", op<"HardSwish">},
    {"hard_swish", op<"HardSwish">},
    {"elu", [](Layer& n, ValueId x) { return n.b.op("Elu", {x}, {{"alpha", 1.0}}); }},
    {"gelu", op<"Gelu">},
    {"leaky_relu", [](Layer& n, ValueId x) { return n.b.op("LeakyRelu", {x}, {{"alpha", 0.2}}); }},
    {"relu6",
     [](Layer& n, ValueId x) { return n.b.op("Clip", {x, n.b.scalar(n.b.dtype(x), 0), n.b.scalar(n.b.dtype(x), 6)}); }},
    {"hard_sigmoid",
     [](Layer& n, ValueId x) {
       return n.b.op("HardSigmoid", {x}, {{"alpha", n.keras2 ? 0.2 : 1.0 / 6}, {"beta", 0.5}});
     }},
    {"softmax", [](Layer& n, ValueId x) { return softmax(n, x, n.b.rank(x) - 1, false); }},
    {"log_softmax", [](Layer& n, ValueId x) { return softmax(n, x, n.b.rank(x) - 1, true); }},
};

// The name of an activation: of Keras 3 possibly {"class_name": "function", "config": "relu6"}.
std::string function_name(const Json& j) {
  if (j.is_string()) return j.get<std::string>();
  if (!j.is_object()) return {};
  const auto config = j.find("config"), name = j.find("class_name");
  if (config != j.end() && config->is_string()) return config->get<std::string>();
  return name != j.end() && name->is_string() ? name->get<std::string>() : std::string();
}

// One value for each position of `axis`, to broadcast against x of `rank`.
ValueId along(Layer& n, ValueId v, int64_t axis, int64_t rank) {
  if (!n.b.ok() || axis == rank - 1) return v;
  Shape s(static_cast<size_t>(rank), Dim(1));
  s[static_cast<size_t>(axis)] = n.b.shape(v)[0];
  return n.b.reshape(v, s);
}

ValueId matmul(Layer& n, ValueId a, ValueId b) { return n.b.op("MatMul", {a, b}); }

}  // namespace

ValueId activated(Layer& n, ValueId x, std::string_view key) {
  const Json* j = n.setting(key);
  if (!j || !n.b.ok()) return x;
  const std::string name = function_name(*j);
  const auto* found = std::ranges::find(kFunctions, name, &Function::name);
  if (found != std::end(kFunctions)) return found->apply(n, x);
  n.fail_with(Code::kUnsupported, "activation \"" + name + "\" is not supported");
  return kNoId;
}

Result<Values> identity(Layer& n) { return n.done(n.x()); }

Result<Values> dense(Layer& n) {
  const bool bias = n.flag("use_bias", true);
  const Values w = n.weights("", bias ? 2 : 1);
  ValueId y = matmul(n, n.x(), w[0]);
  if (bias) y = n.b.op("Add", {y, w[1]});
  return n.done(activated(n, y, "activation"));
}

// Activation, ReLU, LeakyReLU, ELU, Softmax: layers that are a function.
Result<Values> activation(Layer& n) {
  const std::string_view kind = n.variant();
  const ValueId x = n.x();
  if (kind == "Activation") return n.done(activated(n, x, "activation"));
  if (kind == "Softmax") return n.done(softmax(n, x, n.axis(n.i("axis", -1), n.b.rank(x)), false));
  if (kind == "ELU") return n.done(n.b.op("Elu", {x}, {{"alpha", n.f("alpha", 1)}}));
  if (kind == "LeakyReLU")
    return n.done(n.b.op("LeakyRelu", {x}, {{"alpha", n.f("negative_slope", n.f("alpha", 0.3))}}));
  const double slope = n.f("negative_slope", 0), threshold = n.f("threshold", 0), most = n.f("max_value", INFINITY);
  if (threshold != 0) return unsupported("a threshold is not supported");
  ValueId y = slope == 0 ? n.b.op("Relu", {x}) : n.b.op("LeakyRelu", {x}, {{"alpha", slope}});
  if (std::isfinite(most)) y = n.b.op("Min", {y, n.number(most)});
  return n.done(y);
}

// PReLU
Result<Values> parametric(Layer& n) {
  const ValueId alpha = n.weights("", 1)[0], zero = n.number(0);
  return n.done(n.b.op("Add", {n.b.op("Max", {n.x(), zero}), n.b.op("Mul", {alpha, n.b.op("Min", {n.x(), zero})})}));
}

Result<Values> flatten(Layer& n) {
  if (n.s("data_format", "channels_last") == "channels_first") return unsupported("channels first is not supported");
  const Shape s = n.b.shape(n.x());
  if (s.empty()) return damaged("takes a batch");
  return n.done(n.b.reshape(n.x(), {s[0], product({s.begin() + 1, s.end()})}));
}

Result<Values> reshape(Layer& n) {
  const Shape s = n.b.shape(n.x());
  if (s.empty()) return damaged("takes a batch");
  Shape target = {s[0]};
  Dim known = 1;
  size_t open = 0;
  for (const int64_t d : n.ints("target_shape")) {
    if (d < -1 || d > int64_t{1} << 40) return damaged("target_shape is out of range");
    if (d == -1) open = target.size();
    if (d != -1) known = known * d;
    target.emplace_back(d);
  }
  const Dim all = product({s.begin() + 1, s.end()});
  if (open) {
    const auto divisor = known.as_const();
    if (!divisor || *divisor < 1) return damaged("target_shape is impossible");
    target[open] = floor_div(all, *divisor);
    known = known * target[open];
  }
  if (all.is_const() && known.is_const() && !(all == known))
    return damaged("target_shape has another number of elements");
  return n.done(n.b.reshape(n.x(), target));
}

Result<Values> permute(Layer& n) {
  std::vector<int64_t> perm = n.ints("dims"), sorted = perm;
  std::ranges::sort(sorted);
  for (size_t i = 0; i < sorted.size(); ++i)
    if (sorted[i] != static_cast<int64_t>(i) + 1) return damaged("dims is no permutation");
  if (static_cast<int64_t>(perm.size()) + 1 != n.b.rank(n.x())) return damaged("dims does not fit the input");
  perm.insert(perm.begin(), 0);
  return n.done(n.b.transpose(n.x(), perm));
}

Result<Values> repeat(Layer& n) {
  const int64_t count = n.sizes("n", 1, 1)[0];
  const Shape s = n.b.shape(n.x());
  if (s.size() != 2) return damaged("takes a tensor of rank 2");
  return n.done(n.b.expand(n.b.reshape(n.x(), {s[0], 1, s[1]}), {s[0], count, s[1]}));
}

// Add, Subtract, Multiply, Divide, Maximum, Minimum, Average: of any number of inputs, one after the other.
Result<Values> merge(Layer& n) {
  const bool average = n.variant() == "Average";
  ValueId y = n.in[0];
  for (size_t i = 1; i < n.in.size(); ++i) y = n.b.op(average ? "Add" : n.variant(), {y, n.in[i]});
  if (average) y = n.b.op("Mul", {y, n.number(1.0 / static_cast<double>(n.in.size()))});
  return n.done(y);
}

Result<Values> concatenate(Layer& n) { return n.done(n.b.concat(n.in, n.axis(n.i("axis", -1), n.b.rank(n.x())))); }

// Keras' functions Mean, Max, Min and Sum.
Result<Values> reduce(Layer& n) {
  std::vector<int64_t> axes = n.ints("axis");
  const int64_t rank = n.b.rank(n.x());
  if (axes.empty()) {
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (int64_t& a : axes) a = n.axis(a, rank);
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) return damaged("an axis is given twice");
  return n.done(n.b.reduce(n.variant(), n.x(), axes, n.flag("keepdims", false)));
}

Result<Values> embedding(Layer& n) {
  if (n.flag("mask_zero", false)) return unsupported("masks are not supported; build the model with mask_zero=False");
  if (n.setting("lora_rank")) return unsupported("lora is not supported; merge it first");
  const ValueId table = n.weights("", 1)[0];
  return n.done(n.b.make<ops::Gather>({table, n.b.cast(n.x(), DType::kI64)}, [](ops::Gather& g) { g.axis = 0; }));
}

// Rescaling: x * scale + offset. Normalization: (x - mean) / sqrt(variance).
Result<Values> rescaling(Layer& n) {
  const ValueId x = n.b.cast(n.x(), DType::kF32);
  if (n.variant() == "Rescaling") {
    const Json one = 1.0, none = 0.0;
    const Json *scale = n.setting("scale"), *offset = n.setting("offset");
    return n.done(
        n.b.op("Add", {n.b.op("Mul", {x, n.numbers(scale ? *scale : one)}), n.numbers(offset ? *offset : none)}));
  }
  if (n.flag("invert", false)) return unsupported("invert is not supported");
  ValueId mean = kNoId, variance = kNoId;
  if (n.setting("mean") && n.setting("variance")) {
    mean = n.numbers(*n.setting("mean"));
    variance = n.numbers(*n.setting("variance"));
  } else {
    const auto axes = n.ints("axis");
    const int64_t rank = n.b.rank(x);
    if (axes.size() != 1 || n.axis(axes[0], rank) != rank - 1)
      return unsupported("statistics of another axis than the last are not supported");
    const Values w = n.weights("", 2);
    mean = w[0];
    variance = w[1];
  }
  const ValueId deviation = n.b.op("Max", {n.b.op("Sqrt", {variance}), n.b.scalar(DType::kF32, 1e-7)});
  return n.done(n.b.op("Div", {n.b.op("Sub", {x, mean}), deviation}));
}

Result<Values> batch_norm(Layer& n) {
  const int64_t rank = n.b.rank(n.x()), axis = n.axis(n.i("axis", -1), rank);
  if (n.flag("renorm", false)) return unsupported("renorm is not supported");
  const bool scaled = n.flag("scale", true), centred = n.flag("center", true);
  const Values w = n.weights("", size_t{2} + (scaled ? 1 : 0) + (centred ? 1 : 0));
  const ValueId mean = w[w.size() - 2], variance = w[w.size() - 1];
  ValueId scale = n.b.op("Reciprocal", {n.b.op("Sqrt", {n.b.op("Add", {variance, n.number(n.f("epsilon", 1e-3))})})});
  if (scaled) scale = n.b.op("Mul", {scale, w[0]});
  ValueId offset = n.b.op("Neg", {n.b.op("Mul", {mean, scale})});
  if (centred) offset = n.b.op("Add", {offset, w[scaled ? 1 : 0]});
  return n.done(n.b.op("Add", {n.b.op("Mul", {n.x(), along(n, scale, axis, rank)}), along(n, offset, axis, rank)}));
}

Result<Values> layer_norm(Layer& n) {
  const int64_t rank = n.b.rank(n.x());
  std::vector<int64_t> axes = n.ints("axis");
  if (axes.empty()) axes = {-1};
  for (int64_t& a : axes) a = n.axis(a, rank);
  std::ranges::sort(axes);
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != rank - static_cast<int64_t>(axes.size() - i)) return unsupported("only over the last dimensions");
  const bool rms = n.flag("rms_scaling", false) || n.variant() == "rms";
  const bool scaled = n.flag("scale", true), centred = n.flag("center", true) && !rms;
  const Values w = n.weights("", (scaled ? 1u : 0u) + (centred ? 1u : 0u));
  ValueId y = n.b.make<ops::LayerNorm>({n.x()}, [&](ops::LayerNorm& l) {
    l.axis = axes[0];
    l.epsilon = n.f("epsilon", rms ? 1e-6 : 1e-3);
    l.rms = rms;
  });
  if (scaled) y = n.b.op("Mul", {y, w[0]});
  if (centred) y = n.b.op("Add", {y, w.back()});
  return n.done(y);
}

Result<Values> group_norm(Layer& n) {
  const Shape s = n.b.shape(n.x());
  const auto rank = static_cast<int64_t>(s.size());
  if (rank < 2 || n.axis(n.i("axis", -1), rank) != rank - 1) return unsupported("only with channels last");
  const auto channels = s.back().as_const();
  int64_t groups = n.i("groups", 32);
  if (groups == -1 && channels) groups = *channels;
  if (!channels || groups < 1 || *channels % groups != 0) return damaged("groups do not divide the channels");
  const bool scaled = n.flag("scale", true), centred = n.flag("center", true);
  const Values w = n.weights("", (scaled ? 1u : 0u) + (centred ? 1u : 0u));
  // [N, places, groups, rest] → a row for each group
  const Dim places = product({s.begin() + 1, s.end() - 1});
  const ValueId grouped = n.b.transpose(n.b.reshape(n.x(), {s[0], places, groups, *channels / groups}), {0, 2, 1, 3});
  const ValueId rows = n.b.reshape(grouped, {s[0] * groups, places * (*channels / groups)});
  const ValueId normal = n.b.make<ops::LayerNorm>({rows}, [&](ops::LayerNorm& l) {
    l.axis = 1;
    l.epsilon = n.f("epsilon", 1e-3);
  });
  ValueId y =
      n.b.reshape(n.b.transpose(n.b.reshape(normal, {s[0], groups, places, *channels / groups}), {0, 2, 1, 3}), s);
  if (scaled) y = n.b.op("Mul", {y, w[0]});
  if (centred) y = n.b.op("Add", {y, w.back()});
  return n.done(y);
}

Result<Values> unit_norm(Layer& n) {
  const int64_t axis = n.axis(n.i("axis", -1), n.b.rank(n.x()));
  const ValueId length = n.b.op("Max", {n.b.reduce("l2", n.x(), {axis}, true), n.number(1e-6)});
  return n.done(n.b.op("Div", {n.x(), length}));
}

// MultiHeadAttention: query, value and perhaps key [N, T, D]; kernels [D, heads, size], of the output [heads, size, D].
Result<Values> attention(Layer& n) {
  if (n.in.size() < 2 || n.in.size() > 3) return unsupported("takes a query, a value and perhaps a key");
  if (n.flag("use_gate", false) || n.setting("sliding_window"))
    return unsupported("gates and windows are not supported");
  const bool bias = n.flag("use_bias", true);
  const int64_t heads = n.sizes("num_heads", 1, 1)[0], size = n.sizes("key_dim", 1, 1)[0];
  const ValueId from[] = {n.in[0], n.in.size() == 3 ? n.in[2] : n.in[1], n.in[1]};
  constexpr const char* kParts[] = {"query_dense", "key_dense", "value_dense"};
  for (const ValueId v : from)
    if (n.b.rank(v) != 3) return unsupported("takes tensors of rank 3");
  ValueId parts[3] = {};
  for (size_t k = 0; k < 3; ++k) {
    const Values w = n.weights(kParts[k], bias ? 2 : 1);
    const Shape s = n.b.shape(w[0]), x = n.b.shape(from[k]);
    if (!n.b.ok()) return n.done(kNoId);
    if (s.size() != 3 || !s[1].equals(heads)) return damaged("weights do not fit the heads");
    ValueId y = matmul(n, from[k], n.b.reshape(w[0], {s[0], s[1] * s[2]}));
    if (bias) y = n.b.op("Add", {y, n.b.reshape(w[1], {s[1] * s[2]})});
    parts[k] = n.b.transpose(n.b.reshape(y, {x[0], x[1], s[1], s[2]}), {0, 2, 1, 3});
  }
  const ValueId scaled = n.b.op("Mul", {parts[0], n.number(1 / std::sqrt(static_cast<double>(size)))});
  ValueId scores = n.b.op("MatMul", {scaled, n.b.transpose(parts[1], {0, 1, 3, 2})});
  if (n.causal) {
    const Shape s = n.b.shape(scores);
    if (s.size() != 4 || !s[2].is_const() || !s[3].is_const() || s[2].value() > 4096 || s[3].value() > 4096)
      return unsupported("a causal mask needs known sizes");
    Tensor mask = Tensor::zeros(DType::kF32, {s[2].value(), s[3].value()});
    for (int64_t q = 0; q < s[2].value(); ++q)
      for (int64_t k = q + 1; k < s[3].value(); ++k) mask.set(q * s[3].value() + k, -1e9);
    scores = n.b.op("Add", {scores, n.b.constant(std::move(mask))});
  }
  const ValueId mixed = n.b.transpose(matmul(n, softmax(n, scores, 3, false), parts[2]), {0, 2, 1, 3});
  const Values w = n.weights("output_dense", bias ? 2 : 1);
  const Shape s = n.b.shape(w[0]), m = n.b.shape(mixed);
  if (!n.b.ok()) return n.done(kNoId);
  if (s.size() != 3 || m.size() != 4) return unsupported("an output of several dimensions is not supported");
  ValueId y = matmul(n, n.b.reshape(mixed, {m[0], m[1], m[2] * m[3]}), n.b.reshape(w[0], {s[0] * s[1], s[2]}));
  if (bias) y = n.b.op("Add", {y, w[1]});
  return n.done(y);
}

}  // namespace lathe::keras
