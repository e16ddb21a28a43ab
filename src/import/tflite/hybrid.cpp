// SPDX-License-Identifier: Apache-2.0
// Dynamic range quantization: weights are integers, x is float and is quantized to 8 bits when the model runs, each row
// (of a matrix product) or image (of a convolution) by its own range. Sums of products of such integers are computed in
// f32, as LiteRT turns them into f32 anyway.
#include <algorithm>
#include <cmath>

#include "import/tflite/integer.h"
#include "import/tflite/linear.h"
#include "import/tflite/window.h"

namespace lathe::tflite {

namespace {

/// x as whole numbers in f32 (less its zero point), and what one step is worth, for each index of the kept dimensions.
struct Rounded {
  ValueId steps = kNoId, scale = kNoId;
};

// Symmetric: by the largest absolute value, to -127 … 127.
Rounded symmetric(Node& n, ValueId x, const std::vector<int64_t>& axes) {
  const ValueId most = n.b.reduce("max", n.b.op("Abs", {x}), axes, true);
  Rounded r;
  r.scale = pointwise(n, {most}, [](std::span<const Expr> e) { return e[0] / 127.0; });
  r.steps = pointwise(n, {x, most}, [](std::span<const Expr> e) {
    const Expr zero = e[0].builder->constant(DType::kF32, 0);
    // A row of zeros has no range.
    const Expr inverse = e[0].builder->constant(DType::kF32, 127) / e[1];
    const Expr v = min(max(fixed::round_away(e[0] * inverse), -127), 127);
    return select(compare(Prim::kEq, e[1], zero), zero, v);
  });
  return r;
}

// Asymmetric: by least and largest value, 0 included, to -128 … 127. The zero point is the one of the two that the ends
// give which is off by less, rounded.
Rounded asymmetric(Node& n, ValueId x, const std::vector<int64_t>& axes) {
  const ValueId zero = n.b.scalar(DType::kF32, 0);
  const ValueId low = n.b.op("Min", {n.b.reduce("min", x, axes, true), zero});
  const ValueId high = n.b.op("Max", {n.b.reduce("max", x, axes, true), zero});
  const auto scale_of = [](Expr least, Expr most) {  // in f64, as the zero point
    return (cast(most, DType::kF64) - cast(least, DType::kF64)) / 255.0;
  };
  const ValueId point = pointwise(n, {low, high}, [&](std::span<const Expr> e) {
    const Expr least = cast(e[0], DType::kF64), most = cast(e[1], DType::kF64), scale = scale_of(e[0], e[1]);
    const Expr from_low = -128.0 - least / scale, from_high = 127.0 - most / scale;
    const Expr error_low = abs(e[0].builder->constant(DType::kF64, -128)) + abs(least / scale),
               error_high = abs(e[0].builder->constant(DType::kF64, 127)) + abs(most / scale);
    const Expr real = select(compare(Prim::kLt, error_low, error_high), from_low, from_high);
    const Expr nudged = cast(min(max(fixed::round_away(real), -128), 127), DType::kF32);
    const Expr none = e[0].builder->constant(DType::kF32, 0);
    return select(compare(Prim::kEq, e[0], e[1]), none, nudged);
  });
  Rounded r;
  r.scale = pointwise(n, {low, high}, [&](std::span<const Expr> e) {
    const Expr one = e[0].builder->constant(DType::kF32, 1);
    return select(compare(Prim::kEq, e[0], e[1]), one, cast(scale_of(e[0], e[1]), DType::kF32));
  });
  r.steps = pointwise(n, {x, r.scale, point, low, high}, [](std::span<const Expr> e) {
    const Expr inverse = e[0].builder->constant(DType::kF32, 1) / e[1];
    const Expr v = min(max(fixed::round_away(e[2] + e[0] * inverse), -128), 127) - e[2];
    const Expr none = e[0].builder->constant(DType::kF32, 0);
    return select(compare(Prim::kEq, e[3], e[4]), none, v);
  });
  return r;
}

// Weights as whole numbers in f32, and their scales: one, or one for each index along `axis`, in the last dimension.
Result<std::pair<ValueId, ValueId>> weights(Node& n, size_t i, int64_t axis) {
  const Quantization* q = n.quant_in(i);
  if (!q) return unsupported("the weights are integers without a scale");
  if (q->per_axis() && q->axis != axis)
    return unsupported("weights quantized along dimension " + std::to_string(q->axis) + " are not supported");
  for (const int64_t z : q->zero_points)
    if (z != 0) return unsupported("weights with a zero point are not supported");
  const ValueId scale =
      q->per_axis() ? n.b.constant(Tensor::of<float>(DType::kF32, {static_cast<int64_t>(q->scales.size())}, q->scales))
                    : n.b.scalar(DType::kF32, static_cast<double>(q->scale()));
  return std::pair(n.b.cast(n.in(i), DType::kF32), scale);
}

// sums * (x's scale * weights' scale) + bias
ValueId scaled(Node& n, ValueId sums, ValueId x_scale, ValueId w_scale, ValueId bias) {
  ValueId y = n.b.op("Mul", {sums, n.b.op("Mul", {x_scale, w_scale})});
  return bias == kNoId ? y : n.b.op("Add", {y, bias});
}

}  // namespace

Result<Values> hybrid_fully_connected(Node& n) {
  LATHE_TRY(const Dense d, dense(n));
  LATHE_TRY(const auto w, weights(n, 1, 0));
  const auto* o = n.options<fb::FullyConnectedOptions>();
  const ValueId rows = n.b.reshape(n.in(0), d.rows);
  const Rounded x = o && o->asymmetric_inputs() ? asymmetric(n, rows, {1}) : symmetric(n, rows, {1});
  const ValueId y = scaled(n, product_of(n, x.steps, w.first, false, true), x.scale, w.second, n.in(2));
  return n.done(n.b.reshape(activate(n, y, d.activation), d.result));
}

Result<Values> hybrid_conv(Node& n, bool depthwise) {
  LATHE_TRY(const Window window, conv_window(n));
  LATHE_TRY(const auto w, weights(n, 1, depthwise ? 3 : 0));
  int64_t group = 1;
  if (depthwise) {
    const auto channels = n.shape(0)[3].as_const();
    if (!channels) return unsupported("the number of channels is not constant");
    group = *channels;
  } else {
    LATHE_TRY(group, conv_group(n));
  }
  // The reference has two ways: by the weights' scales, of which there is one or one for each channel.
  const Rounded x =
      n.quant_in(1)->per_axis() || depthwise ? asymmetric(n, n.in(0), {1, 2, 3}) : symmetric(n, n.in(0), {1, 2, 3});
  const ValueId sums = convolve(n, {x.steps, depthwise ? depthwise_weights(n, w.first) : w.first}, window, group);
  return n.done(activate(n, scaled(n, sums, x.scale, w.second, n.in(2)), conv_activation(n)));
}

// The weights alone are integers here: the reference turns them into reals.
Result<Values> hybrid_transpose_conv(Node& n) {
  LATHE_TRY(const TransposedWindow window, transposed_window(n));
  LATHE_TRY(const auto w, weights(n, 1, 0));
  const ValueId sums = convolve_transposed(n, {n.in(2), w.first}, window);
  ValueId y = n.b.op("Mul", {sums, w.second});
  if (n.has(3)) y = n.b.op("Add", {y, n.in(3)});
  return n.done(activate(n, y, conv_activation(n)));
}

Result<Values> hybrid_batch_matmul(Node& n) {
  const auto* o = n.options<fb::BatchMatMulOptions>();
  LATHE_TRY(const auto w, weights(n, 1, -1));
  ValueId a = n.in(0);
  if (o && o->adj_x()) {
    std::vector<int64_t> perm = iota(n.rank(0));
    if (perm.size() < 2) return damaged("operands must be matrices");
    std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
    a = n.b.transpose(a, perm);
  }
  const Rounded x = o && o->asymmetric_inputs() ? asymmetric(n, a, {n.rank(0) - 1}) : symmetric(n, a, {n.rank(0) - 1});
  return n.done(scaled(n, product_of(n, x.steps, w.first, false, o && o->adj_y()), x.scale, w.second, kNoId));
}

}  // namespace lathe::tflite
