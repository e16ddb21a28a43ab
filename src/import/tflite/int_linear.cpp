// SPDX-License-Identifier: Apache-2.0
// Convolutions and matrix products of quantized integers: exact sums, then requantization.
#include "import/tflite/integer.h"
#include "import/tflite/linear.h"
#include "import/tflite/window.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/matmul.h"

namespace lathe::tflite {

namespace {

/// The operands of a contraction and how its sums become results.
struct Contraction {
  const Quantization *x, *w, *out;
  ValueId bias = kNoId;
  bool wide = false;  ///< sums of 64 bits, with the rule for them
  std::vector<fixed::Multiplier> multipliers;
};

// `axis`: of the weights, along which they may have scales. The scale of all is, where the weights have one alone, a
// product in f32, as in the reference.
Result<Contraction> contraction(Node& n, size_t x, size_t w, size_t bias, int64_t axis) {
  Contraction c{n.quant_in(x), n.quant_in(w), n.quant_out(0), kNoId, false, {}};
  if (!c.x || !c.w || !c.out) return unsupported("not all of its tensors are quantized");
  if (c.x->per_axis() || c.out->per_axis()) return unsupported("activations quantized by channel are not supported");
  if (c.w->per_axis() && c.w->axis != axis)
    return unsupported("weights quantized along dimension " + std::to_string(c.w->axis) + " are not supported");
  for (const int64_t z : c.w->zero_points)
    if (z != c.w->zero_points[0]) return unsupported("weights with several zero points are not supported");
  if (n.dtype(x) != n.out_dtype(0)) return unsupported("input and output differ in type");
  const bool sixteen = n.dtype(x) == DType::kI16;
  if (bias < n.input_count() && n.has(bias)) {
    c.bias = n.in(bias);
    const DType t = n.dtype(bias);
    if (t != DType::kI32 && t != DType::kI64) return unsupported("a bias of " + std::string(dtype_name(t)));
    c.wide = t == DType::kI64;
    if (c.wide != sixteen) {
      if (c.wide) return unsupported("a bias of 64 bits on 8-bit integers");
      c.bias = n.b.cast(c.bias, DType::kI64);
    }
  } else {
    c.wide = sixteen;
  }
  const double out = static_cast<double>(c.out->scale());
  if (c.w->per_axis()) {
    for (const float s : c.w->scales)
      c.multipliers.push_back(fixed::multiplier(static_cast<double>(c.x->scale()) * static_cast<double>(s) / out));
  } else {
    c.multipliers.push_back(fixed::multiplier(static_cast<double>(c.x->scale() * c.w->scale()) / out));
  }
  return c;
}

template <class T>
Values with_bias(T x, T w, const Contraction& c) {
  Values v = {x, w};
  if (c.bias != kNoId) v.push_back(c.bias);
  return v;
}

Result<Values> integer_conv(Node& n, bool depthwise) {
  LATHE_TRY(const Window w, conv_window(n));
  LATHE_TRY(const Contraction c, contraction(n, 0, 1, 2, depthwise ? 3 : 0));
  int64_t group = 1;
  if (depthwise) {
    const auto channels = n.shape(0)[3].as_const();
    if (!channels) return unsupported("the number of channels is not constant");
    group = *channels;
  } else {
    LATHE_TRY(group, conv_group(n));
  }
  const ValueId sums = n.b.make<ops::Conv>(with_bias(n.in(0), depthwise ? depthwise_weights(n, n.in(1)) : n.in(1), c),
                                           [&](ops::Conv& o) {
                                             o.strides = w.strides;
                                             o.pads = w.pads;
                                             o.dilations = w.dilations;
                                             o.group = group;
                                             o.x_zero = c.x->zero_point();
                                             o.w_zero = c.w->zero_point();
                                           });
  return n.done(
      requantized(n, sums, c.multipliers, c.wide ? Rounding::kShort : Rounding::kTwice, *c.out, conv_activation(n)));
}

ValueId integer_product(Node& n, ValueId a, ValueId b, bool trans_a, bool trans_b, int64_t a_zero, int64_t b_zero) {
  return n.b.make<ops::MatMul>({a, b}, [&](ops::MatMul& m) {
    m.trans_a = trans_a;
    m.trans_b = trans_b;
    m.a_zero = a_zero;
    m.b_zero = b_zero;
  });
}

}  // namespace

Result<Values> int_conv(Node& n) { return hybrid(n, 0, 1) ? hybrid_conv(n, false) : integer_conv(n, false); }

Result<Values> int_depthwise_conv(Node& n) { return hybrid(n, 0, 1) ? hybrid_conv(n, true) : integer_conv(n, true); }

Result<Values> int_transpose_conv(Node& n) {
  if (hybrid(n, 2, 1)) return hybrid_transpose_conv(n);
  LATHE_TRY(const TransposedWindow w, transposed_window(n));
  LATHE_TRY(const Contraction c, contraction(n, 2, 1, 3, 0));
  const ValueId sums = n.b.make<ops::ConvTranspose>(with_bias(n.in(2), n.in(1), c), [&](ops::ConvTranspose& o) {
    o.strides = w.window.strides;
    o.pads = w.window.pads;
    o.output_padding = w.output_padding;
    o.x_zero = c.x->zero_point();
    o.w_zero = c.w->zero_point();
  });
  return n.done(
      requantized(n, sums, c.multipliers, c.wide ? Rounding::kShort : Rounding::kTwice, *c.out, conv_activation(n)));
}

Result<Values> int_fully_connected(Node& n) {
  if (hybrid(n, 0, 1)) return hybrid_fully_connected(n);
  LATHE_TRY(const Dense d, dense(n));
  LATHE_TRY(const Contraction c, contraction(n, 0, 1, 2, 0));
  ValueId sums =
      integer_product(n, n.b.reshape(n.in(0), d.rows), n.in(1), false, true, c.x->zero_point(), c.w->zero_point());
  if (c.bias != kNoId) sums = n.b.op("Add", {sums, c.bias});
  return n.done(n.b.reshape(requantized(n, sums, c.multipliers, Rounding::kOnce, *c.out, d.activation), d.result));
}

Result<Values> int_batch_matmul(Node& n) {
  if (hybrid(n, 0, 1)) return hybrid_batch_matmul(n);
  const auto* o = n.options<fb::BatchMatMulOptions>();
  LATHE_TRY(const Quantizations q, quantizations(n, 2));
  const ValueId sums =
      integer_product(n, n.in(0), n.in(1), o && o->adj_x(), o && o->adj_y(), q.x->zero_point(), q.y->zero_point());
  const auto m =
      fixed::multiplier(static_cast<double>(q.x->scale() * q.y->scale()) / static_cast<double>(q.out->scale()));
  return n.done(requantized(n, sums, {m}, n.dtype(0) == DType::kI16 ? Rounding::kShort : Rounding::kTwice, *q.out,
                            fb::Activation::NONE));
}

}  // namespace lathe::tflite
