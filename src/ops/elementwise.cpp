// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <algorithm>

namespace lathe::ops {

namespace {

std::string dims_text(const Shape& a, const Shape& b) { return shape_str(a) + " and " + shape_str(b); }

// Longest tensor whose elements are followed as expressions: shapes, not data.
constexpr int64_t kMaxContent = 64;

}  // namespace

Result<Shape> broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& x = out[longer.size() - shorter.size() + i];
    const Dim& y = shorter[i];
    if (x == y || y.equals(1)) continue;
    if (x.equals(1) || (y.is_const() && !x.is_const()))
      x = y;
    else if (x.is_const() && y.is_const())
      return fail(Code::kUsage, "shapes " + dims_text(a, b) + " do not broadcast");
    else if (!x.is_const())
      x = max(x, y);
  }
  return out;
}

Result<Shape> broadcast(std::span<const ValueInfo> inputs) {
  Shape shape;
  for (const ValueInfo& v : inputs) {
    if (v.dtype == DType::kUndefined) continue;
    LATHE_TRY(shape, broadcast(shape, v.shape));
  }
  return shape;
}

bool contains(Types set, DType t) {
  const DTypeInfo& i = dtype_info(t);
  switch (set) {
    case Types::kAny:
      return true;
    case Types::kNumeric:
      return i.is_float || i.is_int;
    case Types::kNumericOrBool:
      return i.is_float || i.is_int || t == DType::kBool;
    case Types::kFloat:
      return i.is_float;
    case Types::kInteger:
      return i.is_int;
    case Types::kBool:
      return t == DType::kBool;
    case Types::kSigned:
      return i.is_float || (i.is_int && i.is_signed);
    case Types::kUnsigned:
      return i.is_int && !i.is_signed;
  }
  return false;
}

Status Elementwise::check(std::span<const DType> inputs) const {
  DType first = DType::kUndefined;
  for (const DType t : inputs) {
    if (t == DType::kUndefined) continue;
    if (first == DType::kUndefined) first = t;
    if (t != first)
      return fail(Code::kUsage, "inputs are " + std::string(dtype_name(first)) + " and " + std::string(dtype_name(t)) +
                                    "; they must have one type");
    if (!contains(signature().types, t))
      return fail(Code::kUnsupported, "input type " + std::string(dtype_name(t)) + " is not supported");
  }
  return {};
}

std::optional<Program> Elementwise::program(std::span<const DType> inputs) const {
  const Signature s = signature();
  const auto count = static_cast<int>(inputs.size());
  if (count < s.min_inputs || count > s.max_inputs || !check(inputs)) return std::nullopt;
  ProgramBuilder b;
  std::vector<Expr> x;
  for (const DType t : inputs) {
    const Expr e = b.input(t);
    x.push_back(t == DType::kUndefined ? Expr{} : e);
  }
  return remap_inputs(
      b.finish(build(b, x)),
      [&] {
        std::vector<int> same(inputs.size());
        for (size_t i = 0; i < same.size(); ++i) same[i] = static_cast<int>(i);
        return same;
      }(),
      count);
}

Result<std::vector<ValueInfo>> Elementwise::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  const Signature s = signature();
  const auto count = static_cast<int>(inputs.size());
  if (count < s.min_inputs || count > s.max_inputs)
    return fail(Code::kUsage, "takes " + std::to_string(s.min_inputs) +
                                  (s.max_inputs == s.min_inputs           ? ""
                                   : s.max_inputs == kVariadic.max_inputs ? " or more"
                                                                          : " to " + std::to_string(s.max_inputs)) +
                                  " inputs, not " + std::to_string(count));
  std::vector<DType> types;
  for (const ValueInfo& v : inputs) types.push_back(v.dtype);
  for (int i = 0; i < s.min_inputs; ++i)
    if (types[static_cast<size_t>(i)] == DType::kUndefined)
      return fail(Code::kUsage, "input " + std::to_string(i) + " is missing");
  LATHE_CHECK(check(types));
  LATHE_TRY(Shape shape, broadcast(inputs));
  const auto p = program(types);
  if (!p) return fail(Code::kUnsupported, "has no program for these types");
  ValueInfo out;
  out.dtype = p->steps[static_cast<size_t>(p->results[0])].dtype;
  out.shape = std::move(shape);
  const bool whole = dtype_info(out.dtype).is_int || out.dtype == DType::kBool;
  if (out.shape.size() <= 1 && whole) out.content = propagate_content(*p, inputs);
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> Elementwise::evaluate(std::span<const Tensor> inputs) const {
  std::vector<DType> types;
  Shape shape;
  for (const Tensor& t : inputs) {
    types.push_back(t.dtype());
    if (t.dtype() == DType::kUndefined) continue;
    LATHE_TRY(shape, broadcast(shape, to_shape(t.dims())));
  }
  LATHE_CHECK(check(types));
  const auto p = program(types);
  if (!p) return fail(Code::kUnsupported, "has no program for these types");
  LATHE_TRY(Tensor out, evaluate_program(*p, inputs, *static_dims(shape)));
  return std::vector<Tensor>{std::move(out)};
}

double Elementwise::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const {
  std::vector<DType> types;
  for (const ValueInfo& v : inputs) types.push_back(v.dtype);
  const auto p = program(types);
  const auto count = product(outputs[0].shape).as_const();
  if (!p || !count) return 0;
  const auto work = std::count_if(p->steps.begin(), p->steps.end(), [](const Step& s) {
    return s.prim != Prim::kInput && s.prim != Prim::kConstant && s.prim != Prim::kCast;
  });
  return static_cast<double>(work) * static_cast<double>(*count);
}

namespace {

using Known = std::optional<Dim>;

Known known_bool(bool b) { return Dim(b ? 1 : 0); }

// a < b for expressions over non-negative symbols, where it can be told.
std::optional<bool> less(const Dim& a, const Dim& b) {
  const Dim d = a - b;
  if (d.is_const()) return d.value() < 0;
  if (b.is_const() && b.value() <= 0 && !a.is_const()) {
    const bool sums = std::all_of(a.terms().begin(), a.terms().end(), [](const auto& t) { return t.coefficient > 0; });
    if (sums) return false;
  }
  return std::nullopt;
}

Known symbolic_binary(Prim p, const Dim& a, const Dim& b) {
  const bool both = a.is_const() && b.is_const();
  switch (p) {
    case Prim::kAdd:
      return a + b;
    case Prim::kSub:
      return a - b;
    case Prim::kMul:
      return a * b;
    case Prim::kDiv:
      if (b.equals(0)) return std::nullopt;
      return both ? Dim(a.value() / b.value()) : floor_div(a, b);
    case Prim::kMod:
      return b.equals(0) ? std::nullopt : Known(mod(a, b));
    case Prim::kMin:
      return min(a, b);
    case Prim::kMax:
      return max(a, b);
    case Prim::kEq: {
      if (a == b) return known_bool(true);
      if (both) return known_bool(false);
      if (less(a, b).value_or(false) || less(b, a).value_or(false)) return known_bool(false);
      // A size is never negative: Equal(shape, -1) is how exporters write Expand.
      const Dim &x = a.is_const() ? b : a, &c = a.is_const() ? a : b;
      if (c.is_const() && c.value() < 0 && less(x, 0) == std::optional(false)) return known_bool(false);
      return std::nullopt;
    }
    case Prim::kLt: {
      const auto r = less(a, b);
      return r ? known_bool(*r) : std::nullopt;
    }
    case Prim::kLe: {
      const auto r = less(b, a);
      return r ? known_bool(!*r) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

Known symbolic_step(const Step& s, const std::vector<Known>& at) {
  auto operand = [&](int i) -> const Known& { return at[static_cast<size_t>(i)]; };
  const int arity = prim_info(s.prim).arity;
  if (s.prim == Prim::kConstant) return dtype_info(s.dtype).is_float ? std::nullopt : Known(Dim(s.integer));
  if (!operand(s.a)) return std::nullopt;
  if (s.prim == Prim::kSelect) {
    if (!operand(s.a)->is_const()) return std::nullopt;
    return operand(s.a)->value() != 0 ? operand(s.b) : operand(s.c);
  }
  if (arity == 2) return operand(s.b) ? symbolic_binary(s.prim, *operand(s.a), *operand(s.b)) : std::nullopt;
  switch (s.prim) {
    case Prim::kNeg:
      return Dim(0) - *operand(s.a);
    case Prim::kCast:
      if (s.dtype == DType::kI64 || s.dtype == DType::kI32) return operand(s.a);
      if (s.dtype == DType::kBool && operand(s.a)->is_const()) return known_bool(operand(s.a)->value() != 0);
      return std::nullopt;
    case Prim::kNot:
      return s.dtype == DType::kBool && operand(s.a)->is_const() ? known_bool(operand(s.a)->value() == 0)
                                                                 : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::vector<Dim>> propagate_content(const Program& p, std::span<const ValueInfo> inputs) {
  int64_t count = 1;
  std::vector<std::optional<std::vector<Dim>>> contents;
  bool any = false;
  for (const ValueInfo& v : inputs) {
    contents.push_back(content_of(v));
    if (!contents.back() && v.constant && v.constant->dtype() == DType::kBool && v.shape.size() <= 1)
      contents.back() = to_shape(v.constant->to_i64());
    if (v.shape.size() > 1) return std::nullopt;
    any = any || contents.back();
    if (v.shape.size() == 1) {
      if (!v.shape[0].is_const() || v.shape[0].value() > kMaxContent) return std::nullopt;
      if (v.shape[0].value() != 1) count = v.shape[0].value();
    }
  }
  if (!any) return std::nullopt;
  std::vector<Dim> out;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<Known> at(p.steps.size());
    for (size_t s = 0; s < p.steps.size(); ++s) {
      if (p.steps[s].prim != Prim::kInput) {
        at[s] = symbolic_step(p.steps[s], at);
        continue;
      }
      const auto& c = contents[static_cast<size_t>(p.steps[s].integer)];
      if (c && !c->empty()) at[s] = (*c)[c->size() == 1 ? 0 : static_cast<size_t>(i)];
    }
    const auto& r = at[static_cast<size_t>(p.results[0])];
    if (!r) return std::nullopt;
    out.push_back(*r);
  }
  return out;
}

}  // namespace lathe::ops
