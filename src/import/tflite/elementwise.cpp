// SPDX-License-Identifier: Apache-2.0
// Operators that work element by element.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "import/tflite/handlers.h"

namespace lathe::tflite {

ValueId activate(Node& n, ValueId x, fb::Activation a) {
  const auto limit = [&](double low, double high) {
    const DType t = n.b.dtype(x);
    return n.b.op("Clip", {x, n.b.scalar(t, low), n.b.scalar(t, high)});
  };
  switch (a) {
    case fb::Activation::NONE:
      return x;
    case fb::Activation::RELU:
      return n.b.op("Relu", {x});
    case fb::Activation::RELU_N1_TO_1:
      return limit(-1, 1);
    case fb::Activation::RELU6:
      return limit(0, 6);
    case fb::Activation::TANH:
      return n.b.op("Tanh", {x});
    default:
      n.b.set_error(
          {Code::kUnsupported, "the built-in activation " + std::to_string(static_cast<int>(a)) + " is not supported"});
      return kNoId;
  }
}

std::vector<int64_t> iota(int64_t n, int64_t first) {
  std::vector<int64_t> v(static_cast<size_t>(std::max<int64_t>(n, 0)));
  std::iota(v.begin(), v.end(), first);
  return v;
}

ValueId lift(Node& n, ValueId x, int64_t rank) {
  Shape s = n.b.shape(x);
  if (static_cast<int64_t>(s.size()) >= rank) return x;
  s.insert(s.begin(), static_cast<size_t>(rank) - s.size(), Dim(1));
  return n.b.reshape(x, s);
}

Result<Values> generic(Node& n) { return n.done(n.b.op(n.canonical(), n.inputs())); }

namespace {

fb::Activation activation_of(const Node& n) {
  if (const auto* o = n.options<fb::AddOptions>()) return o->activation();
  if (const auto* o = n.options<fb::SubOptions>()) return o->activation();
  if (const auto* o = n.options<fb::MulOptions>()) return o->activation();
  if (const auto* o = n.options<fb::DivOptions>()) return o->activation();
  return fb::Activation::NONE;
}

}  // namespace

// Two operands, broadcast; some have an activation.
Result<Values> binary(Node& n) {
  if (n.input_count() != 2) return damaged("takes 2 inputs");
  return n.done(activate(n, n.b.op(n.canonical(), {n.in(0), n.in(1)}), activation_of(n)));
}

// The row's name is the activation.
Result<Values> unary_clip(Node& n) {
  if (n.canonical() == "0_to_1") return n.done(n.b.op("Clip", {n.in(0), n.scalar(0), n.scalar(1)}));
  return n.done(activate(n, n.in(0), n.canonical() == "6" ? fb::Activation::RELU6 : fb::Activation::RELU_N1_TO_1));
}

namespace {

template <class V>
struct SetAttribute final : AttrVisitor {
  std::string_view name;
  V value;
  template <class T>
  void set(const char* which, T& v) {
    if constexpr (std::is_same_v<T, V>)
      if (which == name) v = value;
  }
  void attr(const char* w, int64_t& v) override { set(w, v); }
  void attr(const char* w, double& v) override { set(w, v); }
  void attr(const char* w, bool& v) override { set(w, v); }
  void attr(const char* w, std::string& v) override { set(w, v); }
  void attr(const char* w, std::vector<int64_t>& v) override { set(w, v); }
  void attr(const char* w, std::vector<double>& v) override { set(w, v); }
  void attr(const char* w, std::vector<std::string>& v) override { set(w, v); }
  void attr(const char* w, DType& v) override { set(w, v); }
  void attr(const char* w, Program& v) override { set(w, v); }
  void attr(const char* w, std::shared_ptr<Graph>& v) override { set(w, v); }
};

// An operator with one attribute set, for those that have no type of their own in a header.
template <class V>
std::shared_ptr<const Op> with_attribute(std::string_view op, std::string_view attribute, V value) {
  SetAttribute<V> set;
  set.name = attribute;
  set.value = std::move(value);
  std::shared_ptr<Op> made = find_op(op)->make();
  made->visit(set);
  return made;
}

}  // namespace

Result<Values> leaky_relu(Node& n) {
  const auto* o = n.options<fb::LeakyReluOptions>();
  return n.done(n.b.add(with_attribute("LeakyRelu", "alpha", o ? static_cast<double>(o->alpha()) : 0.0), {n.in(0)}));
}

Result<Values> gelu(Node& n) {
  const auto* o = n.options<fb::GeluOptions>();
  return n.done(
      n.b.add(with_attribute("Gelu", "approximate", std::string(o && o->approximate() ? "tanh" : "none")), {n.in(0)}));
}

Result<Values> rsqrt(Node& n) { return n.done(n.b.op("Reciprocal", {n.b.op("Sqrt", {n.in(0)})})); }

Result<Values> square(Node& n) { return n.done(n.b.op("Mul", {n.in(0), n.in(0)})); }

Result<Values> squared_difference(Node& n) {
  const ValueId d = n.b.op("Sub", {n.in(0), n.in(1)});
  return n.done(n.b.op("Mul", {d, d}));
}

// Towards minus infinity. For integers what is left when the remainder, which has the divisor's sign, is taken off.
Result<Values> floor_div(Node& n) {
  if (dtype_info(n.dtype(0)).is_float) return n.done(n.b.op("Floor", {n.b.op("Div", {n.in(0), n.in(1)})}));
  const ValueId rest = n.b.op("Mod", {n.in(0), n.in(1)});
  return n.done(n.b.op("Div", {n.b.op("Sub", {n.in(0), rest}), n.in(1)}));
}

Result<Values> floor_mod(Node& n) { return n.done(n.b.op("Mod", {n.in(0), n.in(1)})); }

Result<Values> not_equal(Node& n) { return n.done(n.b.op("Not", {n.b.op("Equal", {n.in(0), n.in(1)})})); }

// A condition of rank 1 chooses whole rows, in the first version.
Result<Values> select(Node& n) {
  if (n.input_count() != 3) return damaged("takes 3 inputs");
  ValueId condition = n.in(0);
  if (n.canonical() == "rows" && n.rank(0) == 1 && n.rank(1) > 1) {
    Shape s(static_cast<size_t>(n.rank(1)), Dim(1));
    s[0] = n.shape(0)[0];
    condition = n.b.reshape(condition, s);
  }
  return n.done(n.b.op("Where", {condition, n.in(1), n.in(2)}));
}

Result<Values> add_n(Node& n) {
  if (n.input_count() == 0) return damaged("there are no inputs");
  return n.done(n.b.op("Sum", n.inputs()));
}

Result<Values> cast(Node& n) {
  if (n.dtype(0) == DType::kUndefined) return damaged("the input is missing");
  return n.done(n.b.cast(n.in(0), n.out_dtype(0)));
}

Result<Values> zeros_like(Node& n) { return n.done(n.b.expand(n.scalar(0), n.shape(0))); }

// atan(y / x), turned by half a circle where x is negative. The quotient's sign is y's sign times x's.
Result<Values> atan2(Node& n) {
  const DType t = n.dtype(0);
  const ValueId y = n.in(0), x = n.in(1), zero = n.b.scalar(t, 0);
  const auto number = [&](double v) { return n.b.scalar(t, v); };
  const ValueId angle = n.b.op("Atan", {n.b.op("Div", {y, x})});
  const ValueId turned = n.b.op(
      "Add",
      {angle, n.b.op("Where", {n.b.op("Less", {y, zero}), number(-std::numbers::pi), number(std::numbers::pi)})});
  const ValueId upright = n.b.op("Mul", {n.b.op("Sign", {y}), number(std::numbers::pi / 2)});
  const ValueId beside = n.b.op("Where", {n.b.op("Less", {x, zero}), turned, angle});
  return n.done(n.b.op("Where", {n.b.op("Equal", {x, zero}), upright, beside}));
}

Result<Values> right_shift(Node& n) {
  return n.done(n.b.add(with_attribute("BitShift", "direction", std::string("RIGHT")), {n.in(0), n.in(1)}));
}

// How many boundaries are not above x.
Result<Values> bucketize(Node& n) {
  const auto* o = n.options<fb::BucketizeOptions>();
  const auto count = static_cast<int64_t>(o ? length(o->boundaries()) : 0);
  if (count == 0) return damaged("there are no boundaries");
  Shape s = n.shape(0);
  s.emplace_back(1);
  const std::vector<float> bounds(o->boundaries()->begin(), o->boundaries()->end());
  ValueId x = n.b.reshape(n.in(0), s);
  if (n.dtype(0) != DType::kF32) x = n.b.cast(x, DType::kF32);
  const ValueId below = n.b.op("LessOrEqual", {n.b.constant(Tensor::of<float>(DType::kF32, {count}, bounds)), x});
  return n.done(n.b.reduce("sum", n.b.cast(below, DType::kI32), {n.rank(0)}, false));
}

// Rounds to a grid of 2^bits values between min and max, moved so that 0 is on it.
Result<Values> fake_quant(Node& n) {
  const auto* o = n.options<fb::FakeQuantOptions>();
  if (!o || o->num_bits() < 2 || o->num_bits() > 16 || !(o->min() < o->max())) return damaged("its range is empty");
  const float low = o->narrow_range() ? 1.0f : 0.0f, high = static_cast<float>((1 << o->num_bits()) - 1);
  const float scale = (o->max() - o->min()) / (high - low);
  const float zero = std::clamp(std::round(low - o->min() / scale), low, high);
  const auto number = [&](float v) { return n.b.scalar(DType::kF32, static_cast<double>(v)); };
  const float from = (low - zero) * scale, to = (high - zero) * scale;
  const ValueId clipped = n.b.op("Clip", {n.in(0), number(from), number(to)});
  const ValueId steps = n.b.op("Mul", {n.b.op("Sub", {clipped, number(from)}), number(1 / scale)});
  const ValueId rounded = n.b.op("Floor", {n.b.op("Add", {steps, number(0.5f)})});
  return n.done(n.b.op("Add", {n.b.op("Mul", {rounded, number(scale)}), number(from)}));
}

}  // namespace lathe::tflite
