// SPDX-License-Identifier: Apache-2.0
// Activations and other functions of one tensor that take parameters or are composed.
#include <algorithm>
#include <cmath>
#include <limits>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

namespace {

ValueId input(Node& n) {
  const ValueId x = n.tensor("self");
  return n.b.ok() && !dtype_info(n.b.dtype(x)).is_float ? n.b.cast(x, DType::kF32) : x;
}

// Arithmetic with numbers of the tensor's type.
struct Math {
  Node& n;
  ValueId num(ValueId like, double v) const { return n.b.scalar(n.b.dtype(like), v); }
  ValueId add(ValueId x, ValueId y) const { return n.b.op("Add", {x, y}); }
  // Numbers are always doubles: an integer would be a value.
  ValueId plus(ValueId x, double y) const { return add(x, num(x, y)); }
  ValueId sub(ValueId x, ValueId y) const { return n.b.op("Sub", {x, y}); }
  ValueId mul(ValueId x, ValueId y) const { return n.b.op("Mul", {x, y}); }
  ValueId times(ValueId x, double y) const { return y == 1 ? x : mul(x, num(x, y)); }
  ValueId div(ValueId x, ValueId y) const { return n.b.op("Div", {x, y}); }
  ValueId f(std::string_view name, ValueId x) const { return n.b.op(name, {x}); }
};

// log(1 + x) and exp(x) - 1 where 1 + x and exp(x) are rounded: Kahan's corrections, as in Higham, Accuracy and
// Stability of Numerical Algorithms, 1.14.1.
ValueId log1p(const Math& m, ValueId x) {
  const ValueId u = m.plus(x, 1), log = m.f("Log", u);
  const ValueId corrected = m.mul(log, m.div(x, m.plus(u, -1)));
  const ValueId small = m.n.b.op("Where", {m.n.b.op("Equal", {u, m.num(x, 1)}), x, corrected});
  return m.n.b.op("Where", {m.n.b.op("Greater", {x, m.num(x, 2)}), log, small});
}

ValueId expm1(const Math& m, ValueId x) {
  const ValueId u = m.f("Exp", x), less = m.plus(u, -1);
  const ValueId corrected = m.mul(less, m.div(x, m.f("Log", u)));
  const ValueId small = m.n.b.op("Where", {m.n.b.op("Equal", {u, m.num(x, 1)}), x, corrected});
  return m.n.b.op("Where", {m.n.b.op("Less", {m.f("Abs", x), m.num(x, 0.5)}), small, less});
}

}  // namespace

// The row names the function.
Result<Values> composed(Node& n) {
  const ValueId x = input(n);
  if (!n.b.ok()) return n.done(kNoId);
  const Math m{n};
  const std::string_view name = n.canonical();
  if (name == "square") {
    const ValueId same = n.tensor("self");
    return n.done(m.mul(same, same));
  }
  if (name == "rsqrt") return n.done(m.f("Reciprocal", m.f("Sqrt", x)));
  if (name == "log2") return n.done(m.times(m.f("Log", x), 1 / std::log(2.0)));
  if (name == "log10") return n.done(m.times(m.f("Log", x), 1 / std::log(10.0)));
  if (name == "log1p") return n.done(log1p(m, x));
  if (name == "expm1") return n.done(expm1(m, x));
  if (name == "exp2") return n.done(m.f("Exp", m.times(x, std::log(2.0))));
  if (name == "erfc") return n.done(m.sub(m.num(x, 1), m.f("Erf", x)));
  if (name == "frac") return n.done(m.sub(x, m.mul(m.f("Sign", x), m.f("Floor", m.f("Abs", x)))));
  if (name == "log_sigmoid") return n.done(m.f("Neg", m.f("Softplus", m.f("Neg", x))));
  if (name == "tanhshrink") return n.done(m.sub(x, m.f("Tanh", x)));
  if (name == "relu6") return n.done(n.b.op("Clip", {x, m.num(x, 0), m.num(x, 6)}));
  if (name == "hardtanh") return n.done(n.b.op("Clip", {x, m.num(x, n.f("min_val", -1)), m.num(x, n.f("max_val", 1))}));
  if (name == "isfinite") {
    const ValueId bad = n.b.op("Or", {m.f("IsNaN", x), m.f("IsInf", x)});
    return n.done(m.f("Not", bad));
  }
  if (name == "nan_to_num") {
    const bool narrow = n.b.dtype(x) == DType::kF16;
    const double most = narrow ? 65504.0 : static_cast<double>(std::numeric_limits<float>::max());
    ValueId y = n.b.op("Where", {m.f("IsNaN", x), m.num(x, n.f("nan", 0)), x});
    const auto replace = [&](const char* sign, double by) {
      const bool negative = std::string_view(sign) == "detect_positive";
      const ValueId at = n.b.op("IsInf", {y}, {{sign, false}});
      y = n.b.op("Where", {at, m.num(x, n.f(negative ? "neginf" : "posinf", by)), y});
    };
    replace("detect_negative", most);
    replace("detect_positive", -most);
    return n.done(y);
  }
  if (name == "logit") {
    ValueId p = x;
    if (const double e = n.f("eps", -1); e >= 0) p = n.b.op("Clip", {x, m.num(x, e), m.num(x, 1 - e)});
    return n.done(m.f("Log", m.div(p, m.sub(m.num(p, 1), p))));
  }
  return unsupported("the function " + std::string(name) + " is not known");
}

// One parameter, which the canonical operator calls alpha.
Result<Values> with_alpha(Node& n) {
  const bool leaky = n.canonical() == "LeakyRelu";
  return n.done(n.b.op(n.canonical(), {input(n)}, {{"alpha", leaky ? n.f("negative_slope", 0.01) : n.f("alpha", 1)}}));
}

Result<Values> hard_sigmoid(Node& n) {
  return n.done(n.b.op("HardSigmoid", {input(n)}, {{"alpha", 1.0 / 6}, {"beta", 0.5}}));
}

// Beyond the threshold torch returns x itself, which from 20 on differs by less than f32 can tell.
Result<Values> softplus(Node& n) {
  const double beta = n.f("beta", 1), threshold = n.f("threshold", 20);
  const Math m{n};
  const ValueId x = input(n), inside = m.times(x, beta);
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId y = m.times(n.b.op("Softplus", {inside}), 1 / beta);
  if (threshold >= 20) return n.done(y);
  return n.done(n.b.op("Where", {n.b.op("Greater", {inside, m.num(x, threshold)}), x, y}));
}

// scale * (x > 0 ? x : alpha * (exp(x * input_scale) - 1))
Result<Values> elu(Node& n) {
  const Math m{n};
  const ValueId x = input(n);
  const double alpha = n.f("alpha", 1), scale = n.f("scale", 1), inside = n.f("input_scale", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (inside == 1) return n.done(m.times(n.b.op("Elu", {x}, {{"alpha", alpha}}), scale));
  const ValueId low = m.times(m.plus(m.f("Exp", m.times(x, inside)), -1), alpha);
  const ValueId positive = n.b.op("Greater", {x, m.num(x, 0)});
  return n.done(m.times(n.b.op("Where", {positive, x, low}), scale));
}

Result<Values> gelu(Node& n) {
  return n.done(n.b.op("Gelu", {input(n)}, {{"approximate", n.s("approximate", "none")}}));
}

// One slope, or one a channel (dimension 1).
Result<Values> prelu(Node& n) {
  const ValueId x = input(n);
  ValueId w = n.tensor("weight");
  if (!n.b.ok()) return n.done(kNoId);
  if (product(n.b.shape(w)).equals(1)) {
    w = n.b.reshape(w, {});
  } else if (n.b.rank(x) > 2 && n.b.rank(w) == 1) {
    Shape s(static_cast<size_t>(n.b.rank(x) - 1), Dim(1));
    s[0] = n.b.shape(w)[0];
    w = n.b.reshape(w, s);
  }
  return n.done(n.b.op("PRelu", {x, w}));
}

Result<Values> glu(Node& n) {
  const ValueId x = n.tensor("self");
  const int64_t axis = n.axis(n.i("dim", -1), n.b.rank(x));
  if (!n.b.ok()) return n.done(kNoId);
  const auto size = n.b.shape(x)[static_cast<size_t>(axis)].as_const();
  if (!size || *size % 2 != 0) return unsupported("the dimension to be halved must be known and even");
  const ValueId gate = n.b.op("Sigmoid", {n.b.slice(x, axis, *size / 2, *size)});
  return n.done(n.b.op("Mul", {n.b.slice(x, axis, 0, *size / 2), gate}));
}

Result<Values> shrink(Node& n) {
  const double lambda = n.f("lambd", 0.5);
  return n.done(n.b.op("Shrink", {input(n)}, {{"lambd", lambda}, {"bias", n.canonical() == "soft" ? lambda : 0.0}}));
}

Result<Values> threshold(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(x);
  const ValueId above = n.b.op("Greater", {x, n.as("threshold", t)});
  return n.done(n.b.op("Where", {above, x, n.as("value", t)}));
}

// Without training the slope is the mean of its bounds.
Result<Values> rrelu(Node& n) {
  if (n.flag("training", false)) return unsupported("the model was exported for training; call eval() first");
  const double slope = (n.f("lower", 1.0 / 8) + n.f("upper", 1.0 / 3)) / 2;
  Values r(std::max<size_t>(n.output_count(), 1), kNoId);
  r[0] = n.b.op("LeakyRelu", {input(n)}, {{"alpha", slope}});
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
