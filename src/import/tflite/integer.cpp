// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/integer.h"

#include <algorithm>
#include <cmath>

#include "ops/gather.h"
#include "ops/pointwise.h"

namespace lathe::tflite {

ValueId pointwise(Node& n, Values inputs, const std::function<Expr(std::span<const Expr>)>& build) {
  if (!n.b.ok()) return kNoId;
  ProgramBuilder p;
  std::vector<Expr> x;
  for (const ValueId v : inputs) x.push_back(p.input(n.b.dtype(v)));
  Program program = p.finish(build(x));
  return n.b.make<ops::Pointwise>(std::move(inputs), [&](ops::Pointwise& o) { o.function = std::move(program); });
}

Expr centred(Expr x, int64_t zero_point) {
  const Expr v = wide(x);
  return zero_point == 0 ? v : v - static_cast<double>(zero_point);
}

Expr small_centred(Expr x, int64_t zero_point) {
  if (dtype_bits(x.dtype()) != 8) return centred(x, zero_point);
  const Expr v = cast(x, DType::kI32);
  return zero_point == 0 ? v : v - static_cast<double>(zero_point);
}

namespace {

Range type_range(DType t) {
  const DTypeInfo& i = dtype_info(t);
  const int64_t low = i.is_signed ? -(int64_t{1} << (i.bits - 1)) : 0;
  return {low, low + (int64_t{1} << i.bits) - 1};
}

}  // namespace

Range activation_range(DType type, const Quantization& q, fb::Activation a) {
  Range r = type_range(type);
  const auto at = [&](float v) { return q.zero_point() + static_cast<int64_t>(std::round(v / q.scale())); };
  if (a == fb::Activation::RELU || a == fb::Activation::RELU6) r.low = std::max(r.low, at(0));
  if (a == fb::Activation::RELU6) r.high = std::min(r.high, at(6));
  if (a == fb::Activation::RELU_N1_TO_1) r = {std::max(r.low, at(-1)), std::min(r.high, at(1))};
  return r;
}

Expr stored(Expr value, const Quantization& q, Range range, DType type) {
  if (q.zero_point() != 0) value = value + static_cast<double>(q.zero_point());
  return cast(min(max(value, static_cast<double>(range.low)), static_cast<double>(range.high)), type);
}

namespace {

int64_t shortened(fixed::Multiplier m) { return m.value < 0x7FFF0000 ? (m.value + (1 << 15)) >> 16 : 0x7FFF; }

bool same(const std::vector<int64_t>& v) {
  return std::ranges::all_of(v, [&](int64_t e) { return e == v[0]; });
}

// Sums of 16-bit integers times 31 bits do not fit 64: f64 has what matters.
ValueId requantized_64(Node& n, ValueId sums, const std::vector<fixed::Multiplier>& multipliers,
                       const Quantization& out, Range range) {
  Tensor real = Tensor::zeros(DType::kF64, {static_cast<int64_t>(multipliers.size())});
  for (size_t i = 0; i < multipliers.size(); ++i)
    real.set(static_cast<int64_t>(i), std::ldexp(multipliers[i].value, multipliers[i].shift - 31));
  return pointwise(n, {sums, n.b.constant(std::move(real))}, [&](std::span<const Expr> x) {
    const Expr v = unary(Prim::kFloor, cast(x[0], DType::kF64) * x[1] + 0.5);
    return stored(wide(min(max(v, -1e9), 1e9)), out, range, n.out_dtype(0));
  });
}

/// Numbers that a requantization takes, one for each multiplier: a constant where all are the same, else an input.
struct Table {
  DType type;
  std::vector<int64_t> numbers;

  template <class F>
  static Table of(DType type, const std::vector<fixed::Multiplier>& multipliers, F&& number) {
    Table t{type, {}};
    for (const fixed::Multiplier& m : multipliers) t.numbers.push_back(number(m));
    return t;
  }
  [[nodiscard]] bool any(auto&& what) const { return std::ranges::any_of(numbers, what); }
};

/// The node of a function of sums and of numbers from tables.
ValueId tabled(Node& n, ValueId sums, const std::vector<Table>& tables,
               const std::function<Expr(Expr, std::span<const Expr>)>& build) {
  Values inputs = {sums};
  for (const Table& t : tables) {
    if (same(t.numbers)) continue;
    Tensor numbers = Tensor::zeros(t.type, {static_cast<int64_t>(t.numbers.size())});
    for (size_t i = 0; i < t.numbers.size(); ++i) numbers.set_i64(static_cast<int64_t>(i), t.numbers[i]);
    inputs.push_back(n.b.constant(std::move(numbers)));
  }
  return pointwise(n, std::move(inputs), [&](std::span<const Expr> x) {
    std::vector<Expr> p;
    size_t next = 1;
    for (const Table& t : tables)
      p.push_back(same(t.numbers) ? x[0].builder->constant(t.type, static_cast<double>(t.numbers[0])) : x[next++]);
    return build(x[0], p);
  });
}

}  // namespace

ValueId requantized(Node& n, ValueId sums, const std::vector<fixed::Multiplier>& multipliers, Rounding rounding,
                    const Quantization& out, fb::Activation a) {
  const DType type = n.out_dtype(0);
  if (a == fb::Activation::TANH || a == fb::Activation::SIGN_BIT)
    n.b.set_error({Code::kUnsupported, "this built-in activation is not supported on integers"});
  const Range range = activation_range(type, out, a);
  const bool small = n.b.dtype(sums) == DType::kI32;
  if (rounding == Rounding::kOnce && !small) return requantized_64(n, sums, multipliers, out, range);
  const auto table = [&](DType t, auto&& number) { return Table::of(t, multipliers, number); };
  using M = const fixed::Multiplier&;
  if (rounding == Rounding::kTwice) {
    // Shifts to the left come before the multiplication; 31 bits and a shift to the right after it.
    const DType t = small ? DType::kI32 : DType::kI64;
    const Table factors = table(t, [](M m) { return int64_t{m.value}; });
    const Table left = table(t, [](M m) { return int64_t{std::max(m.shift, 0)}; });
    const Table right = table(t, [&](M m) { return int64_t{std::max(-m.shift, 0)} - (small ? 1 : 0); });
    const bool some_0 = right.any([&](int64_t s) { return s == (small ? -1 : 0); });
    return tabled(n, sums, {factors, right, left}, [&](Expr v, std::span<const Expr> p) {
      if (left.any([](int64_t s) { return s > 0; })) v = binary(Prim::kShl, v, p[2]);
      const Expr product = fixed::high_mul(v, p[0]);
      if (small) return stored(fixed::divide_by_power(product, p[1], some_0), out, range, type);
      if (same(right.numbers))
        return stored(fixed::divide_by_power(product, static_cast<int>(right.numbers[0])), out, range, type);
      const Expr none = v.builder->constant(t, 0), one = v.builder->constant(t, 1);
      const Expr half = fixed::shift_right(binary(Prim::kShl, one, p[1]), 1);
      Expr towards = fixed::shift_right(product, 63);
      if (some_0) towards = select(compare(Prim::kLt, none, p[1]), towards, none);
      return stored(binary(Prim::kShr, product + half + towards, p[1]), out, range, type);
    });
  }
  const bool once = rounding == Rounding::kOnce;
  const int bits = once ? 31 : 15;
  const Table factors =
      table(small ? DType::kI32 : DType::kI64, [&](M m) { return once ? int64_t{m.value} : shortened(m); });
  const auto shift = [&](M m) { return std::max(bits - m.shift, 0); };
  const Table halves = table(DType::kI64, [&](M m) { return int64_t{1} << shift(m) >> 1; });
  // What is left after 32 bits fits i32.
  const Table right = table(DType::kI32, [&](M m) { return int64_t{shift(m) - 32}; });
  if (small && !right.any([](int64_t s) { return s < 0; }))
    return tabled(n, sums, {factors, halves, right}, [&](Expr v, std::span<const Expr> p) {
      const Expr product = wide(v) * wide(p[0]) + p[1];
      const Expr by = binary(Prim::kAnd, p[2], v.builder->constant(DType::kI32, 31));
      const Expr upper = cast(fixed::shift_right(product, 32), DType::kI32);
      return stored(binary(Prim::kShr, upper, by), out, range, type);
    });
  return tabled(n, sums, {factors, halves, right}, [&](Expr v, std::span<const Expr> p) {
    return stored(binary(Prim::kShr, wide(v) * wide(p[0]) + p[1], wide(p[2]) + 32.0), out, range, type);
  });
}

ValueId looked_up(Node& n, ValueId x, DType to, const std::function<int64_t(int64_t)>& f) {
  if (!n.b.ok()) return kNoId;
  const Range range = type_range(n.b.dtype(x)), limits = type_range(to);
  Tensor table = Tensor::zeros(to, {range.high - range.low + 1});
  for (int64_t v = range.low; v <= range.high; ++v)
    table.set_i64(v - range.low, std::clamp(f(v), limits.low, limits.high));
  const ValueId index = pointwise(n, {x}, [&](std::span<const Expr> e) {
    const Expr i = cast(e[0], DType::kI32);
    return range.low == 0 ? i : i - static_cast<double>(range.low);
  });
  return n.b.make<ops::Gather>({n.b.constant(std::move(table)), index}, [](ops::Gather& g) { g.axis = 0; });
}

Result<Quantizations> quantizations(const Node& n, size_t inputs) {
  Quantizations q{n.quant_in(0), inputs > 1 ? n.quant_in(1) : nullptr, n.quant_out(0)};
  if (!q.x || !q.out || (inputs > 1 && !q.y)) return unsupported("not all of its tensors are quantized");
  if (q.x->per_axis() || q.out->per_axis() || (q.y && q.y->per_axis()))
    return unsupported("activations quantized by channel are not supported");
  return q;
}

bool hybrid(const Node& n, size_t x, size_t weights) {
  return dtype_info(n.dtype(x)).is_float && dtype_info(n.dtype(weights)).is_int;
}

}  // namespace lathe::tflite
