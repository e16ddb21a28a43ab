// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "import/pt2/handlers.h"

namespace lathe::pt2 {

namespace {

bool is_float(DType t) { return dtype_info(t).is_float; }

// Integers and truth values as f32, torch's default.
ValueId as_float(Node& n, ValueId v) { return is_float(n.b.dtype(v)) ? v : n.b.cast(v, DType::kF32); }

// What is not zero is true.
ValueId as_bool(Node& n, ValueId v) { return n.b.cast(v, DType::kBool); }

ValueId mul(Node& n, ValueId x, ValueId y) { return n.b.op("Mul", {x, y}); }

}  // namespace

Result<Values> unary(Node& n) { return n.done(n.b.op(n.canonical(), {as_float(n, n.tensor("self"))})); }

Result<Values> unary_same(Node& n) { return n.done(n.b.op(n.canonical(), {n.tensor("self")})); }

Result<Values> rounding(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok() || !is_float(n.b.dtype(x))) return n.done(x);
  if (const int64_t decimals = n.i("decimals", 0); decimals != 0) {
    const ValueId factor = n.b.scalar(n.b.dtype(x), std::pow(10.0, static_cast<double>(decimals)));
    return n.done(n.b.op("Div", {n.b.op("Round", {mul(n, x, factor)}), factor}));
  }
  if (n.canonical() != "Trunc") return n.done(n.b.op(n.canonical(), {x}));
  return n.done(mul(n, n.b.op("Sign", {x}), n.b.op("Floor", {n.b.op("Abs", {x})})));
}

// self and other, the latter times alpha. With rsub they are exchanged.
Result<Values> binary(Node& n) {
  Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  const bool reversed = n.op() == "aten.rsub";
  if (reversed) std::swap(in[0], in[1]);
  if (n.has("alpha") && n.f("alpha", 1) != 1) in[1] = mul(n, in[1], n.as("alpha", n.b.dtype(in[1])));
  if (n.b.dtype(in[0]) == DType::kBool) {
    const std::string_view name = n.canonical();
    if (name == "Add" || name == "Max") return n.done(n.b.op("Or", std::move(in)));
    if (name == "Mul" || name == "Min") return n.done(n.b.op("And", std::move(in)));
    return unsupported("truth values are not supported here");
  }
  return n.done(n.b.op(n.canonical(), std::move(in)));
}

Result<Values> comparison(Node& n) {
  Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  const bool unequal = n.canonical() == "NotEqual";
  if (n.b.dtype(in[0]) == DType::kBool)
    for (ValueId& v : in) v = n.b.cast(v, DType::kU8);
  const ValueId y = n.b.op(unequal ? "Equal" : n.canonical(), std::move(in));
  return n.done(unequal ? n.b.op("Not", {y}) : y);
}

Result<Values> logical(Node& n) {
  Values in = {as_bool(n, n.tensor("self"))};
  if (n.has("other")) in.push_back(n.as("other", DType::kBool));
  return n.done(n.b.op(n.canonical(), std::move(in)));
}

// On truth values these are the logical operators.
Result<Values> bitwise(Node& n) {
  Values in = n.has("other") ? n.promoted({"self", "other"}) : Values{n.tensor("self")};
  if (!n.b.ok()) return n.done(kNoId);
  std::string name(n.canonical());
  if (n.b.dtype(in[0]) == DType::kBool) name = name.substr(7);  // BitwiseAnd → And
  return n.done(n.b.op(name, std::move(in)));
}

Result<Values> division(Node& n) {
  Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  const std::string mode = n.op() == "aten.floor_divide" ? "floor" : n.s("rounding_mode", "");
  const bool real = is_float(n.b.dtype(in[0]));
  if (mode.empty() && !real)
    for (ValueId& v : in) v = n.b.cast(v, DType::kF32);
  if (mode == "floor" && !real) {  // (x - x mod y) / y is exact
    const ValueId rest = n.b.op("Mod", {in[0], in[1]});
    return n.done(n.b.op("Div", {n.b.op("Sub", {in[0], rest}), in[1]}));
  }
  const ValueId q = n.b.op("Div", in);
  if (mode.empty() || !real) return n.done(q);
  if (mode == "floor") return n.done(n.b.op("Floor", {q}));
  return n.done(mul(n, n.b.op("Sign", {q}), n.b.op("Floor", {n.b.op("Abs", {q})})));
}

// remainder has the sign of the divisor, fmod that of the dividend.
Result<Values> remainder(Node& n) {
  const Values in = n.promoted({"self", "other"});
  if (!n.b.ok()) return n.done(kNoId);
  if (n.canonical() == "fmod" || !is_float(n.b.dtype(in[0]))) {
    return n.done(n.b.op("Mod", in, {{"fmod", n.canonical() == "fmod"}}));
  }
  const ValueId q = n.b.op("Floor", {n.b.op("Div", {in[0], in[1]})});
  return n.done(n.b.op("Sub", {in[0], mul(n, q, in[1])}));
}

Result<Values> power(Node& n) {
  const Values in = n.promoted({"self", "exponent"});
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId x = in[0];
  const bool real = is_float(n.b.dtype(x));
  if (!n.is_tensor("exponent")) {
    const double e = n.f("exponent", 1);
    if (e == 1) return n.done(x);
    if (e == 2) return n.done(mul(n, x, x));
    if (e == 3) return n.done(mul(n, mul(n, x, x), x));
    if (real && e == 0.5) return n.done(n.b.op("Sqrt", {x}));
    if (real && e == -1) return n.done(n.b.op("Reciprocal", {x}));
    if (real && e == -0.5) return n.done(n.b.op("Reciprocal", {n.b.op("Sqrt", {x})}));
  }
  return n.done(n.b.op("Pow", in));
}

Result<Values> where(Node& n) {
  const ValueId condition = as_bool(n, n.tensor("condition"));
  if (!n.has("self") && !n.has("other")) {
    n.replace("self", condition);
    return nonzero(n);
  }
  const Values in = n.promoted({"self", "other"});
  return n.done(n.b.op("Where", {condition, in[0], in[1]}));
}

Result<Values> masked_fill(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  return n.done(n.b.op("Where", {as_bool(n, n.tensor("mask")), n.as("value", n.b.dtype(x)), x}));
}

Result<Values> clamp(Node& n) {
  Values in = n.promoted({"self", "min", "max"});
  if (!n.b.ok()) return n.done(kNoId);
  if (in[1] == kNoId && in[2] == kNoId) return n.done(in[0]);
  if (in[1] == kNoId) return n.done(n.b.op("Min", {in[0], in[2]}));
  if (in[2] == kNoId) return n.done(n.b.op("Max", {in[0], in[1]}));
  return n.done(n.b.op("Clip", std::move(in)));
}

// self + value * tensor1 * tensor2 (or / tensor2)
Result<Values> addcmul(Node& n) {
  const Values in = n.promoted({"self", "tensor1", "tensor2"});
  if (!n.b.ok()) return n.done(kNoId);
  ValueId y = n.b.op(n.canonical(), {in[1], in[2]});
  if (n.f("value", 1) != 1) y = mul(n, y, n.as("value", n.b.dtype(y)));
  return n.done(n.b.op("Add", {in[0], y}));
}

Result<Values> lerp(Node& n) {
  const Values in = n.promoted({"self", "end", "weight"});
  return n.done(n.b.op("Add", {in[0], mul(n, in[2], n.b.op("Sub", {in[1], in[0]}))}));
}

// to, _to_copy, type_as: the type is an argument, or that of another tensor. Devices and layouts do not matter.
Result<Values> cast(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  DType to = n.dtype("dtype", n.b.dtype(x));
  if (n.is_tensor("other")) to = n.b.dtype(n.tensor("other"));
  if (!n.canonical().empty()) to = *dtype_from_name(n.canonical());
  return n.done(n.b.cast(x, to));
}

Result<Values> identity(Node& n) {
  for (const char* name : {"self", "input", "x"})
    if (n.has(name)) return n.done(n.tensor(name));
  return damaged("there is no input");
}

// copy, fill, zero: what is stored over self.
Result<Values> copy(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.b.dtype(x);
  const ValueId v = n.canonical() == "zero" ? n.b.scalar(t, 0) : n.as(n.canonical(), t);
  if (!n.b.ok() || n.b.shape(v) == n.b.shape(x)) return n.done(v);
  return n.done(n.b.expand(v, n.b.shape(x)));
}

Result<Values> dropout(Node& n) {
  if (n.flag("train", n.flag("training", false)) && n.f("p", 0.5) > 0)
    return unsupported("the model was exported for training; call eval() first");
  Values r(n.output_count(), kNoId);
  r[0] = n.tensor(n.has("self") ? "self" : "input");  // dropout_ has self
  return n.done(std::move(r));
}

}  // namespace lathe::pt2
