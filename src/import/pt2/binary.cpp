// SPDX-License-Identifier: Apache-2.0
// Functions of two tensors that are composed of several operators.
#include <numbers>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

namespace {

struct Two {
  importer::Builder& b;
  ValueId x, y;
  ValueId num(double v) const { return b.scalar(b.dtype(x), v); }
  ValueId op(std::string_view name, ValueId a) const { return b.op(name, {a}); }
  ValueId op(std::string_view name, ValueId a, ValueId c) const { return b.op(name, {a, c}); }
  ValueId where(ValueId condition, ValueId a, ValueId c) const { return b.op("Where", {condition, a, c}); }
};

// Below zero, -0 included: of which the reciprocal tells.
ValueId sign_bit(const Two& t, ValueId v) {
  return t.op("Or", t.op("Less", v, t.num(0)), t.op("Less", t.op("Reciprocal", v), t.num(0)));
}

ValueId with_sign(const Two& t, ValueId size, ValueId sign) {
  return t.where(sign_bit(t, sign), t.op("Neg", size), size);
}

// The angle of (y, x): `y` is the first argument of atan2.
ValueId atan2(const Two& t) {
  const ValueId y = t.x, x = t.y;
  const ValueId half_turn = with_sign(t, t.num(std::numbers::pi), y),
                right = with_sign(t, t.num(std::numbers::pi / 2), y);
  const ValueId angle = t.op("Atan", t.op("Div", y, x));
  const ValueId left = t.where(t.op("Equal", y, t.num(0)), half_turn, t.op("Add", angle, half_turn));
  const ValueId ahead = t.where(t.op("Equal", y, t.num(0)), y, angle);
  const ValueId straight = t.where(t.op("Equal", y, t.num(0)), t.where(sign_bit(t, x), half_turn, y), right);
  return t.where(t.op("Equal", x, t.num(0)), straight, t.where(t.op("Less", x, t.num(0)), left, ahead));
}

}  // namespace

Result<Values> composed_of_two(Node& n) {
  const std::string_view name = n.canonical();
  Values in = n.promoted({"self", n.has("other") ? "other" : "values"});
  if (!n.b.ok()) return n.done(kNoId);
  if (in[1] == kNoId) return damaged("there is no second operand");
  const bool extreme = name == "Max" || name == "Min";
  if (!extreme && name != "heaviside" && !dtype_info(n.b.dtype(in[0])).is_float)
    for (ValueId& v : in) v = n.b.cast(v, DType::kF32);
  const Two t{n.b, in[0], in[1]};
  if (extreme) {  // fmax, fmin: what is not NaN
    const ValueId y = t.op(name, t.x, t.y);
    if (!dtype_info(n.b.dtype(t.x)).is_float) return n.done(y);
    return n.done(t.where(t.op("IsNaN", t.x), t.y, t.where(t.op("IsNaN", t.y), t.x, y)));
  }
  if (name == "atan2") return n.done(atan2(t));
  if (name == "copysign") return n.done(with_sign(t, t.op("Abs", t.x), t.y));
  if (name == "hypot") {  // the larger one is taken out, so that squares do not overflow
    const ValueId a = t.op("Abs", t.x), c = t.op("Abs", t.y), most = t.op("Max", a, c), least = t.op("Min", a, c);
    const ValueId ratio = t.op("Div", least, most);
    const ValueId y = t.op("Mul", most, t.op("Sqrt", t.op("Add", t.op("Mul", ratio, ratio), t.num(1))));
    return n.done(t.where(t.op("Equal", least, most), t.op("Mul", most, t.num(std::numbers::sqrt2)), y));
  }
  if (name == "xlogy") {
    const ValueId y = t.op("Mul", t.x, t.op("Log", t.y));
    const ValueId none = t.op("And", t.op("Equal", t.x, t.num(0)), t.op("Not", t.op("IsNaN", t.y)));
    return n.done(t.where(none, t.num(0), y));
  }
  if (name == "logaddexp") {  // of equal infinities the difference would be NaN
    const ValueId most = t.op("Max", t.x, t.y), apart = t.op("Neg", t.op("Abs", t.op("Sub", t.x, t.y)));
    const ValueId y = t.op("Add", most, t.op("Softplus", apart));
    return n.done(t.where(t.op("IsInf", most), most, y));
  }
  if (name == "heaviside") {
    const ValueId above = n.b.cast(t.op("Greater", t.x, t.num(0)), n.b.dtype(t.x));
    return n.done(t.where(t.op("Equal", t.x, t.num(0)), t.y, above));
  }
  return unsupported("the function " + std::string(name) + " is not known");
}

// Shifts of signed integers: to the left a product, to the right a quotient rounded down.
Result<Values> shift(Node& n) {
  const Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(in[0]);
  if (!dtype_info(t).is_int) return unsupported("shifts of " + std::string(dtype_name(t)) + " are not supported");
  const ValueId factor = n.b.op("Pow", {n.b.scalar(t, 2), in[1]});
  if (n.canonical() == "left") return n.done(n.b.op("Mul", {in[0], factor}));
  return n.done(n.b.op("Div", {n.b.op("Sub", {in[0], n.b.op("Mod", {in[0], factor})}), factor}));
}

// |x - y| <= atol + rtol * |y|, or equal
Result<Values> is_close(Node& n) {
  const Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  const Two t{n.b, n.b.cast(in[0], DType::kF64), n.b.cast(in[1], DType::kF64)};
  const ValueId allowed =
      t.op("Add", t.op("Mul", t.op("Abs", t.y), t.num(n.f("rtol", 1e-5))), t.num(n.f("atol", 1e-8)));
  const ValueId apart = t.op("Abs", t.op("Sub", t.x, t.y));
  const ValueId finite = t.op("Not", t.op("IsInf", apart));
  ValueId y = t.op("Or", t.op("Equal", t.x, t.y), t.op("And", finite, t.op("LessOrEqual", apart, allowed)));
  if (n.flag("equal_nan", false)) y = t.op("Or", y, t.op("And", t.op("IsNaN", t.x), t.op("IsNaN", t.y)));
  return n.done(y);
}

}  // namespace lathe::pt2
