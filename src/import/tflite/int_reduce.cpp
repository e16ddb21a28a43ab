// SPDX-License-Identifier: Apache-2.0
// Pools, reductions, softmax and resampling of quantized integers.
#include <algorithm>
#include <bit>
#include <cmath>

#include "import/tflite/integer.h"
#include "import/tflite/window.h"
#include "ops/gather.h"
#include "ops/pool.h"
#include "ops/reduce.h"

namespace lathe::tflite {

namespace {

using fixed::Multiplier;

Status same_quantization(const Quantizations& q) {
  if (*q.x == *q.out) return {};
  return damaged("input and output are quantized differently");
}

ValueId sum_along(Node& n, ValueId x, std::vector<int64_t> axes, bool keepdims) {
  return n.b.reduce("sum", x, std::move(axes), keepdims);
}

ValueId gathered(Node& n, ValueId table, ValueId index) {
  return n.b.make<ops::Gather>({table, index}, [](ops::Gather& g) { g.axis = 0; });
}

// How many input rows (or columns) each window covers.
std::vector<int64_t> covered(const Window& w, size_t d, int64_t size) {
  const int64_t out = (size + w.pads[d] + w.pads[2 + d] - w.kernel[d]) / w.strides[d] + 1;
  std::vector<int64_t> count;
  for (int64_t i = 0; i < out; ++i) {
    const int64_t from = i * w.strides[d] - w.pads[d];
    count.push_back(std::min(from + w.kernel[d], size) - std::max<int64_t>(from, 0));
  }
  return count;
}

}  // namespace

// The sum of what lies inside the input, divided by how much that is, rounded halves away from zero.
Result<Values> int_average_pool(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  LATHE_CHECK(same_quantization(q));
  LATHE_TRY(const Window w, pool_window(n));
  const auto size = static_dims({n.shape(0)[1], n.shape(0)[2]});
  if (!size) return unsupported("it needs known sizes; give them with --shape");
  const ValueId sums = pooled(n, n.in(0), w, "sum", false);
  if (!n.b.ok()) return n.done(kNoId);
  const auto rows = covered(w, 0, (*size)[0]), columns = covered(w, 1, (*size)[1]);
  ValueId counts = n.b.i64(rows[0] * columns[0]);
  const auto varies = [](const std::vector<int64_t>& v) {
    return std::ranges::any_of(v, [&](int64_t e) { return e != v[0]; });
  };
  if (varies(rows) || varies(columns)) {
    std::vector<int64_t> all;
    for (const int64_t r : rows)
      for (const int64_t c : columns) all.push_back(r * c);
    counts = n.b.reshape(n.b.i64s(all), {static_cast<int64_t>(rows.size()), static_cast<int64_t>(columns.size()), 1});
  }
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *q.out, n.options<fb::Pool2DOptions>()->activation());
  return n.done(pointwise(n, {sums, counts}, [&](std::span<const Expr> e) {
    const Expr s = wide(e[0]), half = fixed::shift_right(e[1], 1), zero = e[1] - e[1];
    const Expr v = select(compare(Prim::kLt, zero, s), s + half, s - half) / e[1];
    return cast(min(max(v, static_cast<double>(range.low)), static_cast<double>(range.high)), type);
  }));
}

Result<Values> int_max_pool(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  LATHE_CHECK(same_quantization(q));
  LATHE_TRY(const Window w, pool_window(n));
  const ValueId y = pooled(n, n.in(0), w, "max", false);
  const auto activation = n.options<fb::Pool2DOptions>()->activation();
  if (activation == fb::Activation::NONE) return n.done(y);
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *q.out, activation);
  return n.done(n.b.op("Clip", {y, n.b.scalar(type, static_cast<double>(range.low)),
                                n.b.scalar(type, static_cast<double>(range.high))}));
}

// The row says mean or sum. The mean's division is part of the multiplier.
Result<Values> int_mean(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  LATHE_TRY(auto given, n.integers(1, "the axes"));
  LATHE_TRY(const auto axes, Node::axes(std::move(given), n.rank(0)));
  Dim elements = 1;
  for (const int64_t a : axes) elements = elements * n.shape(0)[static_cast<size_t>(a)];
  const auto count = elements.as_const();
  if (!count || *count < 1) return unsupported("it needs known sizes; give them with --shape");
  Multiplier m = fixed::multiplier(static_cast<double>(q.x->scale()) / static_cast<double>(q.out->scale()));
  if (n.canonical() == "mean") {
    int shift = 63 - std::countl_zero(static_cast<uint64_t>(*count));
    shift = std::max(std::min({shift, 32, 31 + m.shift}), 0);
    m.value = static_cast<int32_t>((static_cast<int64_t>(m.value) << shift) / *count);
    m.shift -= shift;
  }
  const auto* o = n.options<fb::ReducerOptions>();
  const ValueId sums = sum_along(n, n.b.cast(n.in(0), DType::kI32), axes, o && o->keep_dims());
  const DType type = n.out_dtype(0);
  return n.done(pointwise(n, {sums}, [&](std::span<const Expr> e) {
    const Expr s = wide(e[0]) - static_cast<double>(q.x->zero_point() * *count);
    return stored(fixed::multiply(s, m), *q.out, activation_range(type, *q.out, fb::Activation::NONE), type);
  }));
}

namespace {

/// exp(x - largest) of 8-bit rows, as the reference has it.
struct Exponentials {
  Multiplier to_q5;   ///< of a difference, to Q5.26
  int64_t least = 0;  ///< differences below count nothing
  ValueId largest = kNoId;
  ValueId powers = kNoId;  ///< i32, Q0.31
  ValueId sum = kNoId;     ///< i32, Q12.19
};

Result<Exponentials> exponentials(Node& n, const Quantization& q, float beta) {
  const int64_t axis = n.rank(0) - 1;
  Exponentials r;
  r.to_q5 =
      fixed::multiplier(std::min(static_cast<double>(beta) * static_cast<double>(q.scale()) * (1 << 26), 2147483647.0));
  if (r.to_q5.shift < 0) return unsupported("its scale is too small");
  r.least = -static_cast<int64_t>(std::floor(31.0 * (1 << 26) / static_cast<double>(int64_t{1} << r.to_q5.shift)));
  Tensor table = Tensor::zeros(DType::kI32, {256});
  for (int64_t i = 0; i < 256; ++i)
    if (i - 255 >= r.least)
      table.set_i64(i, fixed::exp_of_negative(fixed::multiply(static_cast<int32_t>(i - 255), r.to_q5)));
  r.largest = n.b.reduce("max", n.in(0), {axis}, true);
  const ValueId index = pointwise(n, {n.in(0), r.largest}, [](std::span<const Expr> e) {
    return cast(e[0], DType::kI32) - cast(e[1], DType::kI32) + 255;
  });
  r.powers = gathered(n, n.b.constant(std::move(table)), index);
  const ValueId parts = pointwise(
      n, {r.powers}, [](std::span<const Expr> e) { return cast(fixed::divide_by_power(wide(e[0]), 12), DType::kI32); });
  r.sum = sum_along(n, parts, {axis}, true);
  return r;
}

Result<Values> softmax_8(Node& n, const Quantization& q, float beta) {
  LATHE_TRY(const Exponentials exps, exponentials(n, q, beta));
  const ValueId powers = exps.powers, sum = exps.sum;
  // The sum's highest bit is brought to bit 31: 1 + x in Q0.31.
  const ValueId scale = pointwise(n, {sum}, [](std::span<const Expr> e) {
    const Expr s = max(wide(e[0]), 1);
    const Expr top = fixed::log2_floor(s), one = e[0].builder->constant(DType::kI64, 1);
    const Expr unit = binary(Prim::kShl, s, 31 - top) - fixed::shift_left(one, 31);
    return fixed::one_over_one_plus(unit);
  });
  const ValueId exponent = pointwise(
      n, {sum}, [](std::span<const Expr> e) { return fixed::log2_floor(max(wide(e[0]), 1)) + (12 - 31 + 31 - 8); });
  const DType type = n.out_dtype(0);
  const int64_t low = dtype_info(type).is_signed ? -128 : 0;
  return n.done(pointwise(n, {powers, scale, exponent}, [&](std::span<const Expr> e) {
    const Expr v = fixed::divide_by_power(fixed::high_mul(wide(e[0]), e[1]), e[2]) + static_cast<double>(low);
    return cast(min(max(v, static_cast<double>(low)), static_cast<double>(low + 255)), type);
  }));
}

// LiteRT's tables for functions of 16 bits: 513 samples, moved by half of the error that interpolation has between two.
std::vector<int64_t> samples(double low, double high, double out_low, double out_high,
                             const std::function<double(double)>& f) {
  constexpr int kSteps = 512;
  const double step = (high - low) / kSteps, inverse = 65536 / (out_high - out_low);
  const auto limited = [](double v) { return static_cast<int64_t>(std::clamp(v, -32768.0, 32767.0)); };
  std::vector<int64_t> r;
  for (int i = 0; i < kSteps; ++i) {
    const double v = f(low + i * step), middle = f(low + i * step + step / 2), next = f(low + (i + 1) * step);
    const double sample = std::round(v * inverse);
    const double between = std::round((next * inverse + std::round(v * inverse)) / 2);
    r.push_back(limited(sample - std::round((between - std::round(middle * inverse)) / 2)));
  }
  r.push_back(limited(std::round(f(high) * inverse)));
  return r;
}

// The value between two samples, for an i64 index of 16 bits.
ValueId interpolated(Node& n, ValueId x, const std::vector<int64_t>& table) {
  const auto part = [&](bool slope) {
    Tensor t = Tensor::zeros(DType::kI32, {512});
    for (size_t i = 0; i < 512; ++i) t.set_i64(static_cast<int64_t>(i), slope ? table[i + 1] - table[i] : table[i]);
    return n.b.constant(std::move(t));
  };
  const ValueId index =
      pointwise(n, {x}, [](std::span<const Expr> e) { return cast(fixed::shift_right(e[0], 7) + 256, DType::kI32); });
  const ValueId base = gathered(n, part(false), index), slope = gathered(n, part(true), index);
  return pointwise(n, {base, slope, x}, [](std::span<const Expr> e) {
    const Expr offset = binary(Prim::kAnd, e[2], e[2].builder->constant(DType::kI64, 127));
    return wide(e[0]) + fixed::shift_right(wide(e[1]) * offset + 64, 7);
  });
}

Result<Values> softmax_16(Node& n, const Quantization& q, float beta) {
  const int64_t axis = n.rank(0) - 1;
  const auto exps = samples(-10, 0, -1, 1, [](double v) { return std::exp(v); });
  const auto inverses = samples(0, 1, -1, 1, [](double v) { return 1 / (1 + v); });
  const Multiplier m = fixed::multiplier(static_cast<double>(q.scale() * beta) / (10.0 / 65535.0));
  const ValueId most = n.b.reduce("max", n.in(0), {axis}, true);
  const ValueId difference = pointwise(n, {n.in(0), most}, [&](std::span<const Expr> e) {
    return min(max(fixed::multiply(wide(e[0]) - wide(e[1]), m) + 32767, -32768), 32767);
  });
  const ValueId powers = interpolated(n, difference, exps);
  const ValueId sum = sum_along(n, powers, {axis}, true);
  const ValueId place = pointwise(n, {sum}, [](std::span<const Expr> e) {
    const Expr s = max(e[0], 1);
    const Expr shifted = fixed::shift_right(binary(Prim::kShl, s, 30 - fixed::log2_floor(s)) + (1 << 13), 14);
    return min(max(shifted - ((1 << 15) + (1 << 16)), -32768), 32767);
  });
  const ValueId inverse = interpolated(n, place, inverses);
  return n.done(pointwise(n, {powers, inverse, sum}, [](std::span<const Expr> e) {
    const Expr by = fixed::log2_floor(max(e[2], 1)), one = e[2].builder->constant(DType::kI64, 1);
    const Expr half = fixed::shift_right(binary(Prim::kShl, one, by), 1);
    return cast(min(max(binary(Prim::kShr, e[0] * e[1] + half, by), 0), 32767), DType::kI16);
  }));
}

}  // namespace

Result<Values> int_softmax(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  if (n.rank(0) < 1) return damaged("the input has no dimension");
  const auto* o = n.options<fb::SoftmaxOptions>();
  const float beta = o ? o->beta() : 1;
  const DType in = n.dtype(0), out = n.out_dtype(0);
  if (in == DType::kI16 && out == DType::kI16) return softmax_16(n, *q.x, beta);
  if (in == out && dtype_bits(in) == 8) return softmax_8(n, *q.x, beta);
  return unsupported("from " + std::string(dtype_name(in)) + " to " + std::string(dtype_name(out)) +
                     " it is not supported");
}

// To steps of 1/16, as the reference wants it.
Result<Values> int_log_softmax(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  if (n.rank(0) < 1 || n.dtype(0) != DType::kI8 || n.out_dtype(0) != DType::kI8)
    return unsupported("on " + std::string(dtype_name(n.dtype(0))) + " it is not supported");
  LATHE_TRY(const Exponentials exps, exponentials(n, *q.x, 1));
  const Multiplier m = exps.to_q5;
  const Multiplier back = fixed::multiplier(std::ldexp(1.0, 31 - m.shift) / m.value);
  const ValueId log =
      pointwise(n, {exps.sum}, [](std::span<const Expr> e) { return fixed::log_of(max(wide(e[0]), 1)); });
  return n.done(pointwise(n, {n.in(0), exps.largest, log}, [&](std::span<const Expr> e) {
    const auto number = [&](int64_t v) { return e[2].builder->constant(DType::kI64, static_cast<double>(v)); };
    const Expr difference = wide(e[0]) - wide(e[1]);
    const Expr least =
        max(fixed::multiply(e[2] + static_cast<double>(INT32_MIN), back), static_cast<double>(exps.least - 1));
    const Expr y = fixed::divide_by_power(fixed::multiply(difference, m) - e[2], 22) + 127;
    const Expr limited = min(max(y, -128), 127);
    return cast(select(compare(Prim::kLt, least, difference), limited, number(-128)), DType::kI8);
  }));
}

Result<Values> int_l2_normalization(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  if (n.rank(0) < 1 || n.dtype(0) != DType::kI8 || n.out_dtype(0) != DType::kI8)
    return unsupported("on " + std::string(dtype_name(n.dtype(0))) + " it is not supported");
  const double zero = static_cast<double>(q.x->zero_point());
  const ValueId squares = pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
    const Expr v = cast(e[0], DType::kI32) - zero;
    return v * v;
  });
  const ValueId sum = sum_along(n, squares, {n.rank(0) - 1}, true);
  const ValueId factor =
      pointwise(n, {sum}, [](std::span<const Expr> e) { return fixed::inverse_sqrt(wide(e[0])).first; });
  const ValueId shift =
      pointwise(n, {sum}, [](std::span<const Expr> e) { return fixed::inverse_sqrt(wide(e[0])).second + 7; });
  return n.done(pointwise(n, {n.in(0), factor, shift}, [&](std::span<const Expr> e) {
    return cast(min(max(fixed::multiply(wide(e[0]) - zero, e[1], e[2]), -128), 127), DType::kI8);
  }));
}

namespace {

/// For each element along one output dimension, the two input elements it lies between, and how far it is from the
/// first.
struct Between {
  std::vector<int64_t> low, high;
  std::vector<double> part;
};

struct Sampling {
  bool corners = false, centers = false;
};

// In steps of 2^-10, as whole numbers.
Between between_fixed(int64_t in, int64_t out, Sampling s) {
  constexpr int64_t kOne = 1 << 10;
  int64_t scale = (kOne * in + out / 2) / out;
  if (s.corners && out > 1) scale = (kOne * (in - 1) + (out - 1) / 2) / (out - 1);
  Between r;
  for (int64_t i = 0; i < out; ++i) {
    const int64_t at = s.centers ? i * scale + scale / 2 - kOne / 2 : i * scale;
    r.low.push_back(std::min(std::max<int64_t>(at / kOne, 0), in - 1));
    r.high.push_back(std::min((at + kOne - 1) / kOne, in - 1));
    r.part.push_back(static_cast<double>(at - kOne * r.low.back()));
  }
  return r;
}

Between between_real(int64_t in, int64_t out, Sampling s) {
  float scale = static_cast<float>(in) / static_cast<float>(out);
  if (s.corners && out > 1) scale = static_cast<float>(in - 1) / static_cast<float>(out - 1);
  Between r;
  for (int64_t i = 0; i < out; ++i) {
    const auto v = static_cast<float>(i);
    const float at = s.centers ? (v + 0.5f) * scale - 0.5f : v * scale;
    r.low.push_back(std::max<int64_t>(static_cast<int64_t>(std::floor(at)), 0));
    r.high.push_back(std::min(static_cast<int64_t>(std::ceil(at)), in - 1));
    r.part.push_back(static_cast<double>(at - static_cast<float>(r.low.back())));
  }
  return r;
}

}  // namespace

// Signed integers with weights of ten bits along both dimensions; unsigned ones in f32.
Result<Values> int_resize_bilinear(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  LATHE_CHECK(same_quantization(q));
  LATHE_TRY(const auto sizes, n.integers(1, "the size"));
  const Shape s = n.shape(0);
  if (s.size() != 4 || sizes.size() != 2) return damaged("the input must have rank 4, the size two numbers");
  for (const int64_t v : sizes)
    if (v < 1 || v > 1 << 20) return damaged("the size is out of range");
  const auto dims = static_dims({s[1], s[2]});
  if (!dims || (*dims)[0] < 1 || (*dims)[1] < 1)
    return unsupported("resizing needs a known size; give it with --shape");
  const auto* o = n.options<fb::ResizeBilinearOptions>();
  const Sampling sampling{o && o->align_corners(), o && o->half_pixel_centers()};
  const DType type = n.dtype(0);
  const bool real = !dtype_info(type).is_signed;
  const DType whole = dtype_bits(type) == 8 ? DType::kI32 : DType::kI64;  // weights have 20 bits
  const auto between = real ? between_real : between_fixed;
  const Between rows = between((*dims)[0], sizes[0], sampling), columns = between((*dims)[1], sizes[1], sampling);
  const auto picked = [&](ValueId v, const std::vector<int64_t>& at, int64_t axis) {
    return n.b.make<ops::Gather>({v, n.b.i64s(at)}, [&](ops::Gather& g) { g.axis = axis; });
  };
  const auto weights = [&](const std::vector<double>& part, Shape shape) {
    Tensor t = Tensor::zeros(real ? DType::kF32 : whole, {static_cast<int64_t>(part.size())});
    for (size_t i = 0; i < part.size(); ++i) t.set(static_cast<int64_t>(i), part[i]);
    return n.b.reshape(n.b.constant(std::move(t)), shape);
  };
  const ValueId top = picked(n.in(0), rows.low, 1), bottom = picked(n.in(0), rows.high, 1);
  const Values inputs = {picked(top, columns.low, 2),          picked(bottom, columns.low, 2),
                         picked(top, columns.high, 2),         picked(bottom, columns.high, 2),
                         weights(rows.part, {sizes[0], 1, 1}), weights(columns.part, {sizes[1], 1})};
  return n.done(pointwise(n, inputs, [&](std::span<const Expr> e) {
    const double one = real ? 1 : 1 << 10;
    const Expr fy = e[4], fx = e[5], gy = one - fy, gx = one - fx;
    const auto corner = [&](size_t i) { return cast(e[i], fy.dtype()); };
    const Expr sum = corner(0) * gy * gx + corner(1) * fy * gx + corner(2) * gy * fx + corner(3) * fy * fx;
    if (real) return cast(sum + 0.5, type);
    const auto number = [&](double v) { return fy.builder->constant(whole, v); };
    const Expr half = number(one * one / 2);
    return cast(select(compare(Prim::kLt, number(0), sum), sum + half, sum - half) / number(one * one), type);
  }));
}

}  // namespace lathe::tflite
