// SPDX-License-Identifier: Apache-2.0
// Elementwise operators on quantized integers.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "import/tflite/integer.h"
#include "ops/gather.h"

namespace lathe::tflite {

namespace {

fb::Activation activation_of(const Node& n) {
  if (const auto* o = n.options<fb::AddOptions>()) return o->activation();
  if (const auto* o = n.options<fb::SubOptions>()) return o->activation();
  if (const auto* o = n.options<fb::MulOptions>()) return o->activation();
  return fb::Activation::NONE;
}

bool power_of_two(float s) {
  int exponent = 0;
  return std::frexp(s, &exponent) == 0.5f;
}

}  // namespace

// Both operands are brought to a common scale, with `shift` bits more than they have; the row says Add or Sub.
Result<Values> int_add(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 2));
  const auto* add = n.options<fb::AddOptions>();
  const auto* sub = n.options<fb::SubOptions>();
  const bool sixteen = n.dtype(0) == DType::kI16;
  const bool powers = sixteen && (add ? add->pot_scale_int16() : !sub || sub->pot_scale_int16()) &&
                      power_of_two(q.x->scale()) && power_of_two(q.y->scale()) && power_of_two(q.out->scale());
  if (powers) return unsupported("sums of 16-bit integers with scales that are powers of two are not supported");
  const int shift = sixteen ? 15 : 20;
  const auto sx = static_cast<double>(q.x->scale()), sy = static_cast<double>(q.y->scale());
  const double twice = 2 * std::max(sx, sy);
  const auto mx = fixed::multiplier(sx / twice), my = fixed::multiplier(sy / twice),
             mo = fixed::multiplier(twice /
                                    (static_cast<double>(int64_t{1} << shift) * static_cast<double>(q.out->scale())));
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *q.out, activation_of(n));
  return n.done(pointwise(n, {n.in(0), n.in(1)}, [&](std::span<const Expr> e) {
    const Expr a = fixed::multiply(fixed::shift_left(small_centred(e[0], q.x->zero_point()), shift), mx);
    const Expr b = fixed::multiply(fixed::shift_left(small_centred(e[1], q.y->zero_point()), shift), my);
    return stored(fixed::multiply(n.canonical() == "Sub" ? a - b : a + b, mo), *q.out, range, type);
  }));
}

Result<Values> int_mul(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 2));
  const auto m = fixed::multiplier(static_cast<double>(q.x->scale() * q.y->scale() / q.out->scale()));
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *q.out, activation_of(n));
  return n.done(pointwise(n, {n.in(0), n.in(1)}, [&](std::span<const Expr> e) {
    const Expr product = small_centred(e[0], q.x->zero_point()) * small_centred(e[1], q.y->zero_point());
    return stored(fixed::multiply(product, m), *q.out, range, type);
  }));
}

Result<Values> int_squared_difference(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 2));
  if (dtype_bits(n.dtype(0)) != 8) return unsupported("on 16-bit integers it is not supported");
  constexpr int kShift = 7;
  const auto sx = static_cast<double>(q.x->scale()), sy = static_cast<double>(q.y->scale());
  const double twice = 2 * std::max(sx, sy);
  const auto mx = fixed::multiplier(sx / twice), my = fixed::multiplier(sy / twice),
             mo = fixed::multiplier(twice * twice /
                                    (static_cast<double>(1 << (2 * kShift)) * static_cast<double>(q.out->scale())));
  const DType type = n.out_dtype(0);
  return n.done(pointwise(n, {n.in(0), n.in(1)}, [&](std::span<const Expr> e) {
    const Expr a = fixed::multiply(fixed::shift_left(centred(e[0], q.x->zero_point()), kShift), mx);
    const Expr b = fixed::multiply(fixed::shift_left(centred(e[1], q.y->zero_point()), kShift), my);
    const Expr d = a - b;
    return stored(fixed::multiply(d * d, mo), *q.out, activation_range(type, *q.out, fb::Activation::NONE), type);
  }));
}

// Both sides times their scales, with 8 bits more. The row says Less, LessOrEqual, Greater, GreaterOrEqual, Equal or
// NotEqual.
Result<Values> int_compare(Node& n) {
  const Quantization *x = n.quant_in(0), *y = n.quant_in(1);
  if (!x || !y || x->per_axis() || y->per_axis()) return unsupported("not all of its tensors are quantized");
  const auto mx = fixed::multiplier(static_cast<double>(x->scale())),
             my = fixed::multiplier(static_cast<double>(y->scale()));
  const std::string_view kind = n.canonical();
  return n.done(pointwise(n, {n.in(0), n.in(1)}, [&](std::span<const Expr> e) {
    const Expr a = fixed::multiply(fixed::shift_left(centred(e[0], x->zero_point()), 8), mx);
    const Expr b = fixed::multiply(fixed::shift_left(centred(e[1], y->zero_point()), 8), my);
    if (kind.ends_with("Equal") && kind.size() <= 8) {
      const Expr same = compare(Prim::kEq, a, b);
      return kind == "Equal" ? same : e[0].builder->step(Prim::kNot, DType::kBool, same);
    }
    const Prim p = kind.ends_with("OrEqual") ? Prim::kLe : Prim::kLt;
    return kind.starts_with("Less") ? compare(p, a, b) : compare(p, b, a);
  }));
}

// The row's name is the activation.
Result<Values> int_relu(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  const std::string_view kind = n.canonical();
  const DType type = n.out_dtype(0);
  Range range = activation_range(type, *q.out,
                                 kind == "Relu" ? fb::Activation::RELU
                                 : kind == "6"  ? fb::Activation::RELU6
                                                : fb::Activation::RELU_N1_TO_1);
  if (kind == "0_to_1") range.low = std::max(range.low, q.out->zero_point());
  const auto m = fixed::multiplier(static_cast<double>(q.x->scale() / q.out->scale()));
  return n.done(pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
    return stored(fixed::multiply(small_centred(e[0], q.x->zero_point()), m), *q.out, range, type);
  }));
}

Result<Values> int_leaky_relu(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  const auto* o = n.options<fb::LeakyReluOptions>();
  const float alpha = o ? o->alpha() : 0;
  if (alpha < 0) return unsupported("a negative slope is not supported on integers");
  const auto same = fixed::multiplier(static_cast<double>(q.x->scale() / q.out->scale())),
             sloped = fixed::multiplier(static_cast<double>(q.x->scale() * alpha / q.out->scale()));
  const DType type = n.out_dtype(0);
  return n.done(pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
    const Expr x = small_centred(e[0], q.x->zero_point()), zero = x.builder->constant(x.dtype(), 0);
    const Expr y = select(compare(Prim::kLe, zero, x), fixed::multiply(x, same), fixed::multiply(x, sloped));
    return stored(y, *q.out, activation_range(type, *q.out, fb::Activation::NONE), type);
  }));
}

Result<Values> int_prelu(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 2));
  const auto same = fixed::multiplier(static_cast<double>(q.x->scale() / q.out->scale())),
             sloped = fixed::multiplier(static_cast<double>(q.x->scale() * q.y->scale() / q.out->scale()));
  const DType type = n.out_dtype(0);
  return n.done(pointwise(n, {n.in(0), n.in(1)}, [&](std::span<const Expr> e) {
    const Expr x = small_centred(e[0], q.x->zero_point()), zero = x.builder->constant(x.dtype(), 0);
    const Expr y = select(compare(Prim::kLe, zero, x), fixed::multiply(x, same),
                          fixed::multiply(x * small_centred(e[1], q.y->zero_point()), sloped));
    return stored(y, *q.out, activation_range(type, *q.out, fb::Activation::NONE), type);
  }));
}

// |x|, or with the row's name Rsqrt 1/sqrt(x).
Result<Values> int_abs(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *q.out, fb::Activation::NONE);
  if (n.canonical() == "Rsqrt") {
    if (dtype_bits(type) != 8) return unsupported("on 16-bit integers it is not supported");
    constexpr int kShift = 20;  // keeps the root whole
    const float real = static_cast<float>(1.0 / static_cast<double>(std::sqrt(q.x->scale()) * q.out->scale()));
    auto m = fixed::multiplier(static_cast<double>(real));
    m.shift -= kShift;
    std::vector<int64_t> all = iota(256, dtype_info(type).is_signed ? -128 : 0);
    Tensor inputs = Tensor::zeros(n.dtype(0), {256});
    for (int64_t i = 0; i < 256; ++i) inputs.set_i64(i, all[static_cast<size_t>(i)]);
    const ValueId table = pointwise(n, {n.b.constant(std::move(inputs))}, [&](std::span<const Expr> e) {
      const Expr x = centred(e[0], q.x->zero_point()), one = e[0].builder->constant(DType::kI64, 1);
      const auto [value, shift] = fixed::inverse_sqrt(max(x, one));
      const Expr root = fixed::multiply(one, value, shift + one * static_cast<double>(kShift));
      const Expr y = fixed::multiply(root, m) + static_cast<double>(q.out->zero_point());
      const Expr most = e[0].builder->constant(DType::kI64, static_cast<double>(range.high));
      const Expr low = max(y, static_cast<double>(range.low));
      return cast(select(compare(Prim::kLe, x, x - x), most, min(low, most)), type);
    });
    const ValueId index = pointwise(
        n, {n.in(0)}, [&](std::span<const Expr> e) { return cast(e[0], DType::kI32) - static_cast<double>(all[0]); });
    return n.done(n.b.make<ops::Gather>({table, index}, [](ops::Gather& g) { g.axis = 0; }));
  }
  const bool rescale = q.x->scale() != q.out->scale();
  const auto m = fixed::multiplier(static_cast<double>(q.x->scale() / q.out->scale()));
  return n.done(pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
    const Expr x = abs(centred(e[0], q.x->zero_point()));
    return stored(rescale ? fixed::multiply(x, m) : x, *q.out, range, type);
  }));
}

namespace {

// sigmoid(i / 24) with 16 bits behind the point, as LiteRT has it: not rounded in one way throughout.
constexpr uint16_t kSigmoid[256] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535};

// How the 16-bit kernels scale their input: to steps of 1/(3 * 4096).
struct Scaled {
  int64_t factor = 0;
  int shift = 0;
};
Scaled scale_16(float scale, bool tanh) {
  Scaled s;
  int exponent = 0;
  const bool power = std::frexp(scale, &exponent) == 0.5f;
  s.shift = 12 + exponent - 1;
  if (power && (s.shift == 0 || (tanh && s.shift == 1))) return s;
  double factor = static_cast<double>(scale) * 4096.0 * 3.0;
  for (s.shift = 0; factor <= 32767.0 / 2.0 && s.shift <= 30; ++s.shift) factor *= 2;
  s.factor = static_cast<int64_t>(factor);
  return s;
}

int64_t logistic_16(int64_t x, Scaled s) {
  if (s.factor == 0) s = {int64_t{3} << s.shift, 0};
  const int64_t round = s.shift > 0 ? int64_t{1} << (s.shift - 1) : 0;
  const int64_t v = (x * s.factor + round) >> s.shift, size = std::abs(v), step = size >> 9;
  int64_t r = int64_t{0x7FFF} << 10;
  if (step < 255) {
    const int64_t a = int64_t{kSigmoid[step]}, b = int64_t{kSigmoid[step + 1]};
    r = (a << 9) + (size & 511) * (b - a);
  }
  r = v >= 0 ? r + (1 << 9) : (1 << 25) - r + (1 << 9) - 1;
  return r >> 10;
}

int64_t tanh_16(int64_t x, Scaled s) {
  if (s.factor == 0) {
    s.factor = int64_t{3} << s.shift;
    s.shift = 0;
  }
  const int64_t round = s.shift > 0 ? int64_t{1} << (s.shift - 1) : 0;
  const int64_t v = (x * s.factor + round) >> s.shift, size = std::abs(v), step = size >> 8;
  int64_t r = int64_t{0xFFFF} << 8;
  if (step < 255) {
    const int64_t a = int64_t{kSigmoid[step]}, b = int64_t{kSigmoid[step + 1]};
    r = (a << 8) + (size & 255) * (b - a);
  }
  r = v >= 0 ? r - (1 << 23) + (1 << 7) : -r + (1 << 23) + (1 << 7) - 1;
  return r >> 8;
}

// 16-bit steps of hard swish: x times a clipped x, both in fixed point.
int64_t hard_swish(int64_t x, float in, float out, int64_t zero_out) {
  const auto narrow = [](fixed::Multiplier m) {
    return m.value >= INT32_MAX - (1 << 15) ? int64_t{INT16_MAX} : int64_t{(m.value + (1 << 15)) >> 16};
  };
  const auto high = [](int64_t a, int64_t b) {
    const int64_t p = a * b, nudge = p >= 0 ? 1 << 14 : 1 - (1 << 14);
    return a == b && a == INT16_MIN ? int64_t{INT16_MAX} : (p + nudge) / (1 << 15);
  };
  const auto saturate = [](int64_t v) { return std::clamp<int64_t>(v, INT16_MIN, INT16_MAX); };
  const auto rounded = [](int64_t v, int by) {
    return by <= 0 ? v : (v + (int64_t{1} << (by - 1)) - (v < 0 ? 1 : 0)) >> by;
  };
  const float fine = (1.0f / 128.0f) * in;
  const auto to_out = fixed::multiplier(static_cast<double>(fine / out)),
             to_unit = fixed::multiplier(static_cast<double>(fine / (3.0f / 32768.0f)));
  const int64_t hires = x * 128, scaled = high(hires, narrow(to_out));
  int64_t unit = hires;
  if (to_unit.shift > 0) unit = saturate(unit * (int64_t{1} << (to_unit.shift - 1)));
  unit = high(unit, narrow(to_unit));
  if (to_unit.shift > 0) unit = saturate(unit * 2);
  if (to_unit.shift < 0) unit = rounded(unit, -to_unit.shift);
  unit = (unit + (1 << 15)) >> 1;
  const int64_t product = unit * scaled / (1 << 15);
  return rounded(product, -to_out.shift) + zero_out;
}

using Function = float (*)(float);
struct Table {
  std::string_view name;
  Function function;
};
constexpr Table kTables[] = {
    {"Sigmoid", [](float v) { return 1.0f / (1.0f + std::exp(-v)); }},
    {"Tanh", [](float v) { return std::tanh(v); }},
    {"Elu", [](float v) { return v < 0 ? std::expm1(v) : v; }},
    {"Exp", [](float v) { return std::exp(v); }},
    {"Log", [](float v) { return std::log(v); }},
    {"Gelu", [](float v) { return 0.5f * v * (1.0f + std::erf(v * std::numbers::sqrt2_v<float> / 2)); }},
    {"GeluTanh",
     [](float v) {
       constexpr float kFactor = std::numbers::inv_sqrtpi_v<float> * std::numbers::sqrt2_v<float>;
       return 0.5f * v * (1.0f + std::tanh(kFactor * (v + 0.044715f * v * v * v)));
     }},
};

}  // namespace

// Functions of one variable: a table of all their values, which the row's name tells.
Result<Values> int_table(Node& n) {
  LATHE_TRY(const Quantizations q, quantizations(n, 1));
  std::string_view name = n.canonical();
  const DType type = n.out_dtype(0);
  if (name == "HardSwish" && dtype_bits(type) == 8)
    return n.done(looked_up(n, n.in(0), type, [&](int64_t v) {
      return hard_swish(v - q.x->zero_point(), q.x->scale(), q.out->scale(), q.out->zero_point());
    }));
  if (n.dtype(0) == DType::kI16 && type == DType::kI16 && (name == "Sigmoid" || name == "Tanh")) {
    const bool tanh = name == "Tanh";
    const Scaled s = scale_16(q.x->scale(), tanh);
    return n.done(looked_up(n, n.in(0), type, [&](int64_t v) { return tanh ? tanh_16(v, s) : logistic_16(v, s); }));
  }
  if (name == "Gelu")
    if (const auto* o = n.options<fb::GeluOptions>(); o && o->approximate()) name = "GeluTanh";
  const auto* found = std::ranges::find(kTables, name, &Table::name);
  if (found == std::end(kTables) || dtype_bits(n.dtype(0)) != 8 || n.dtype(0) != type)
    return unsupported("on " + std::string(dtype_name(n.dtype(0))) + " it is not supported");
  const float inverse = 1.0f / q.out->scale();
  return n.done(looked_up(n, n.in(0), type, [&](int64_t v) -> int64_t {
    const float y = found->function(q.x->scale() * static_cast<float>(v - q.x->zero_point()));
    const float steps = std::round(y * inverse);
    if (std::isnan(steps)) return q.out->zero_point();
    return static_cast<int64_t>(std::clamp(steps, -1e6f, 1e6f)) + q.out->zero_point();
  }));
}

// The parts of 8-bit unsigned integers may have scales of their own; else they are alike.
Result<Values> int_concatenation(Node& n) {
  const Quantization* out = n.quant_out(0);
  if (!out || n.input_count() == 0) return unsupported("not all of its tensors are quantized");
  const auto* o = n.options<fb::ConcatenationOptions>();
  LATHE_TRY(const int64_t axis, Node::axis(o ? o->axis() : 0, n.rank(0)));
  if (o && o->activation() != fb::Activation::NONE) return unsupported("an activation on integers is not supported");
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *out, fb::Activation::NONE);
  const float inverse = 1.0f / out->scale();
  Values parts;
  for (size_t i = 0; i < n.input_count(); ++i) {
    const Quantization* q = n.quant_in(i);
    if (!q || q->per_axis()) return unsupported("not all of its tensors are quantized");
    if (q->scale() == out->scale() && q->zero_point() == out->zero_point()) {
      parts.push_back(n.in(i));
      continue;
    }
    if (type != DType::kU8) return damaged("its inputs and output are quantized differently");
    const float scale = q->scale() * inverse, bias = -static_cast<float>(q->zero_point()) * scale;
    parts.push_back(pointwise(n, {n.in(i)}, [&](std::span<const Expr> e) {
      const Expr v = cast(e[0], DType::kF32) * static_cast<double>(scale) + static_cast<double>(bias);
      return stored(wide(fixed::round_away(v)), *out, range, type);
    }));
  }
  return n.done(parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), axis));
}

}  // namespace lathe::tflite
