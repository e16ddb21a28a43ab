// SPDX-License-Identifier: Apache-2.0
// Tensors that depend on no other's elements.
#include <algorithm>
#include <cmath>

#include "import/pt2/handlers.h"
#include "ops/range.h"

namespace lathe::pt2 {

namespace {

// `value`, a scalar, in every element.
ValueId filled(Node& n, ValueId value, const Shape& shape) {
  return n.b.ok() && !shape.empty() ? n.b.expand(value, shape) : value;
}

constexpr int64_t kMostElements = int64_t{1} << 28;

}  // namespace

// full, zeros, ones, empty and their new_… forms: the row says with what.
Result<Values> full(Node& n) {
  DType t = n.has("self") ? n.b.dtype(n.tensor("self")) : DType::kF32;
  if (!n.has("dtype") && !n.has("self") && n.has("fill_value")) {
    const ValueId v = n.is_tensor("fill_value") ? n.tensor("fill_value") : n.number("fill_value");
    t = n.b.ok() ? n.b.dtype(v) : t;
  }
  t = n.dtype("dtype", t);
  const Shape shape = n.dims("size");
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId value =
      n.canonical() == "given" ? n.as("fill_value", t) : n.b.scalar(t, n.canonical() == "one" ? 1 : 0);
  return n.done(filled(n, value, shape));
}

Result<Values> full_like(Node& n) {
  const ValueId x = n.tensor("self");
  if (!n.b.ok()) return n.done(kNoId);
  const DType t = n.dtype("dtype", n.b.dtype(x));
  if (!n.b.ok()) return n.done(kNoId);
  const ValueId value =
      n.canonical() == "given" ? n.as("fill_value", t) : n.b.scalar(t, n.canonical() == "one" ? 1 : 0);
  return n.done(filled(n, value, n.b.shape(x)));
}

Result<Values> arange(Node& n) {
  bool real = false;
  for (const char* name : {"start", "end", "step"})
    if (const auto* a = n.arg(name))
      real = real || a->kind == schema::Argument::Kind::kFloat || a->kind == schema::Argument::Kind::kSymFloat;
  const DType t = n.dtype("dtype", real ? DType::kF32 : DType::kI64);
  if (real) {  // numbers, which are known
    const double start = n.f("start", 0), end = n.f("end", 0), step = n.f("step", 1);
    if (!n.b.ok()) return n.done(kNoId);
    const double count = std::ceil((end - start) / step);
    if (!(count >= 0 && count < static_cast<double>(kMostElements))) return damaged("the range is impossible");
    Tensor r = Tensor::zeros(t, {static_cast<int64_t>(count)});
    for (int64_t i = 0; i < r.count(); ++i) r.set(i, start + step * static_cast<double>(i));
    return n.done(n.b.constant(std::move(r)));
  }
  const Dim start = n.dim("start", 0), end = n.dim("end", 0);
  const int64_t step = n.i("step", 1);
  if (!n.b.ok()) return n.done(kNoId);
  if (step == 0) return damaged("the step is 0");
  const auto s = start.as_const(), e = end.as_const();
  if (s && e) {
    const double count = std::ceil((static_cast<double>(*e) - static_cast<double>(*s)) / static_cast<double>(step));
    if (!(count < static_cast<double>(kMostElements))) return damaged("the range is impossible");
    Tensor r = Tensor::zeros(t, {static_cast<int64_t>(std::max(count, 0.0))});
    for (int64_t i = 0; i < r.count(); ++i) r.set_i64(i, *s + step * i);
    return n.done(n.b.constant(std::move(r)));
  }
  const auto scalar = [&](const Dim& d) {
    const ValueId v = n.b.dim_value(d);
    return n.b.ok() ? n.b.reshape(v, {}) : kNoId;
  };
  const ValueId r = n.b.add(std::make_shared<ops::Range>(), {scalar(start), scalar(end), scalar(step)});
  return n.done(n.b.ok() ? n.b.cast(r, t) : kNoId);
}

Result<Values> linspace(Node& n) {
  const double start = n.f("start", 0), end = n.f("end", 0);
  const int64_t steps = n.i("steps", 1);
  const DType t = n.dtype("dtype", DType::kF32);
  if (!n.b.ok()) return n.done(kNoId);
  if (steps < 0 || steps > kMostElements) return damaged("steps is out of range");
  Tensor r = Tensor::zeros(t, {steps});
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  for (int64_t i = 0; i < steps; ++i)  // from both ends, as torch does
    r.set(i, i < (steps + 1) / 2 ? start + step * static_cast<double>(i)
                                 : end - step * static_cast<double>(steps - 1 - i));
  return n.done(n.b.constant(std::move(r)));
}

Result<Values> eye(Node& n) {
  const int64_t rows = n.i("n", 1), columns = n.i("m", rows);
  const DType t = n.dtype("dtype", DType::kF32);
  if (!n.b.ok()) return n.done(kNoId);
  if (rows < 0 || columns < 0 || rows > 1 << 14 || columns > 1 << 14) return damaged("the size is out of range");
  Tensor r = Tensor::zeros(t, {rows, columns});
  for (int64_t i = 0; i < std::min(rows, columns); ++i) r.set(i * columns + i, 1);
  return n.done(n.b.constant(std::move(r)));
}

Result<Values> scalar_tensor(Node& n) { return n.done(n.as("s", n.dtype("dtype", DType::kF32))); }

}  // namespace lathe::pt2
