// SPDX-License-Identifier: Apache-2.0
#include "import/pt2/node.h"

#include <algorithm>

#include "import/pt2/importer.h"

namespace lathe::pt2 {

using schema::Argument;
using Kind = Argument::Kind;

std::string_view Node::canonical() const { return row_.name; }
std::string_view Node::op() const { return row_.op; }
std::string_view Node::overload() const {
  const std::string_view target = node_.target;
  return target.substr(std::min(target.rfind('.') + 1, target.size()));
}

size_t Node::output_count() const { return output_names(node_).size(); }

const Argument* Node::arg(std::string_view name) const {
  const auto it = std::ranges::find(node_.inputs, name, &schema::NamedArgument::name);
  return it == node_.inputs.end() || it->arg.kind == Kind::kNone ? nullptr : &it->arg;
}

bool Node::is_tensor(std::string_view name) const {
  const auto* a = arg(name);
  return a && a->kind == Kind::kTensor;
}

ValueId Node::resolve(const Argument& a) {
  if (a.kind == Kind::kNone) return kNoId;
  if (a.kind != Kind::kTensor) {
    fail_with(Code::kDamaged, "an argument is not a tensor");
    return kNoId;
  }
  auto v = importer_.tensor(a.text);
  if (!v) b.set_error(v.error());
  return v.value_or(kNoId);
}

ValueId Node::tensor(std::string_view name) {
  if (replacement_ != kNoId && name == replaced_) return replacement_;
  const auto* a = arg(name);
  if (!a) {
    fail_with(Code::kDamaged, "the argument " + std::string(name) + " is missing");
    return kNoId;
  }
  return resolve(*a);
}

ValueId Node::optional(std::string_view name) { return has(name) ? tensor(name) : kNoId; }

Values Node::tensors(std::string_view name) {
  const auto* a = arg(name);
  Values r;
  if (!a || a->kind != Kind::kList) {
    fail_with(Code::kDamaged, "the argument " + std::string(name) + " is not a list of tensors");
    return r;
  }
  for (const Argument& item : a->items) r.push_back(resolve(item));
  return r;
}

Dim Node::dim_of(const Argument& a) {
  if (a.kind == Kind::kInt || a.kind == Kind::kBool) return a.i;
  if (a.kind == Kind::kSymInt) {
    auto d = importer_.size(a.text);
    if (!d) b.set_error(d.error());
    return d.value_or(Dim(0));
  }
  fail_with(Code::kDamaged, "an argument is not an integer");
  return 0;
}

int64_t Node::int_of(const Argument& a) {
  const Dim d = dim_of(a);
  if (d.is_const()) return d.value();
  fail_with(Code::kUnsupported, "it needs a constant where the model has " + d.str());
  return 0;
}

double Node::float_of(const Argument& a) {
  if (a.kind == Kind::kFloat) return a.f;
  if (a.kind == Kind::kSymFloat) {
    auto f = importer_.real(a.text);
    if (!f) b.set_error(f.error());
    return f.value_or(0);
  }
  return static_cast<double>(int_of(a));
}

int64_t Node::i(std::string_view name, int64_t otherwise) {
  const auto* a = arg(name);
  return a ? int_of(*a) : otherwise;
}

double Node::f(std::string_view name, double otherwise) {
  const auto* a = arg(name);
  return a ? float_of(*a) : otherwise;
}

bool Node::flag(std::string_view name, bool otherwise) { return i(name, otherwise ? 1 : 0) != 0; }

std::string Node::s(std::string_view name, std::string_view otherwise) {
  const auto* a = arg(name);
  return a && a->kind == Kind::kString ? a->text : std::string(otherwise);
}

std::vector<int64_t> Node::ints(std::string_view name) {
  const auto* a = arg(name);
  std::vector<int64_t> r;
  if (!a) return r;
  if (a->kind != Kind::kList) return {int_of(*a)};
  for (const Argument& item : a->items) r.push_back(int_of(item));
  return r;
}

std::vector<double> Node::floats(std::string_view name) {
  const auto* a = arg(name);
  std::vector<double> r;
  if (!a) return r;
  if (a->kind != Kind::kList) return {float_of(*a)};
  for (const Argument& item : a->items) r.push_back(float_of(item));
  return r;
}

Dim Node::dim(std::string_view name, const Dim& otherwise) {
  const auto* a = arg(name);
  return a ? dim_of(*a) : otherwise;
}

Shape Node::dims(std::string_view name) {
  const auto* a = arg(name);
  if (!a) {
    fail_with(Code::kDamaged, "the argument " + std::string(name) + " is missing");
    return {};
  }
  if (a->kind != Kind::kList) return {dim_of(*a)};
  Shape r;
  for (const Argument& item : a->items) r.push_back(dim_of(item));
  return r;
}

DType Node::dtype(std::string_view name, DType otherwise) {
  const auto* a = arg(name);
  if (!a) return otherwise;
  const DType t = a->kind == Kind::kDType ? schema::dtype_of(a->i) : DType::kUndefined;
  if (t == DType::kUndefined || dtype_bits(t) == 0)
    fail_with(Code::kUnsupported, "element type " + std::to_string(a->i) + " of torch is not supported");
  return t;
}

ValueId Node::number(std::string_view name) {
  const auto* a = arg(name);
  if (!a) {
    fail_with(Code::kDamaged, "the argument " + std::string(name) + " is missing");
    return kNoId;
  }
  if (a->kind == Kind::kFloat || a->kind == Kind::kSymFloat) return b.scalar(DType::kF32, float_of(*a));
  if (a->kind == Kind::kBool) return b.scalar(DType::kBool, static_cast<double>(a->i));
  const Dim d = dim_of(*a);
  if (d.is_const()) return b.i64(d.value());
  const ValueId v = b.dim_value(d);
  return b.ok() ? b.reshape(v, {}) : kNoId;
}

ValueId Node::as(std::string_view name, DType dtype) {
  if (is_tensor(name)) return b.cast(tensor(name), dtype);
  const auto* a = arg(name);
  // Straight to the type wanted, so that a double is rounded once.
  if (a && a->kind == Kind::kFloat) return b.scalar(dtype, a->f);
  return b.cast(number(name), dtype);
}

int64_t Node::axis(int64_t axis, int64_t rank) {
  const int64_t most = std::max<int64_t>(rank, 1);
  if (axis < -most || axis >= most) {
    fail_with(Code::kDamaged,
              "dimension " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
    return 0;
  }
  return axis < 0 ? axis + most : axis;
}

std::vector<int64_t> Node::axes(std::vector<int64_t> axes, int64_t rank) {
  for (int64_t& a : axes) a = axis(a, rank);
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) fail_with(Code::kDamaged, "a dimension is given twice");
  return axes;
}

DType promote_types(DType a, DType b) {
  if (a == b || b == DType::kUndefined) return a;
  if (a == DType::kUndefined) return b;
  const DTypeInfo &x = dtype_info(a), &y = dtype_info(b);
  const auto category = [](const DTypeInfo& t) {
    return t.dtype == DType::kBool ? 0 : t.is_int ? 1 : t.is_float ? 2 : 3;
  };
  if (category(x) != category(y)) return category(x) > category(y) ? a : b;
  if (x.bits == y.bits) {
    if (x.is_float) return DType::kF32;                                               // f16 with bf16
    constexpr DType kWider[] = {DType::kI16, DType::kI32, DType::kI64, DType::kI64};  // signed with unsigned
    return kWider[x.bits == 8 ? 0 : x.bits == 16 ? 1 : x.bits == 32 ? 2 : 3];
  }
  return x.bits > y.bits ? a : b;
}

namespace {

// How types of operands of different standing combine: the lower one counts only if it is of a higher category.
DType combine(DType higher, DType lower) {
  const auto is_real = [](DType t) { return dtype_info(t).is_float || t == DType::kC64 || t == DType::kC128; };
  if (higher == DType::kUndefined) return lower;
  if (is_real(higher)) return higher;
  if (higher == DType::kBool || is_real(lower)) return promote_types(higher, lower);
  return higher;
}

}  // namespace

// Tensors count before tensors without dimensions, and those before numbers.
Values Node::promoted(std::initializer_list<std::string_view> names) {
  DType tensors = DType::kUndefined, scalars = DType::kUndefined, numbers = DType::kUndefined;
  for (const auto name : names) {
    const auto* a = arg(name);
    if (!a) continue;
    if (is_tensor(name)) {
      const ValueId v = tensor(name);
      DType& of = b.rank(v) > 0 ? tensors : scalars;
      of = promote_types(of, b.dtype(v));
    } else {
      const DType t = a->kind == Kind::kFloat || a->kind == Kind::kSymFloat ? DType::kF32
                      : a->kind == Kind::kBool                              ? DType::kBool
                                                                            : DType::kI64;
      numbers = promote_types(numbers, t);
    }
  }
  const DType type = combine(tensors, combine(scalars, numbers));
  Values r;
  for (const auto name : names) r.push_back(has(name) ? as(name, type) : kNoId);
  return r;
}

}  // namespace lathe::pt2
