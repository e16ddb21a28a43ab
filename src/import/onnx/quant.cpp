// SPDX-License-Identifier: Apache-2.0
// Quantized operators become Dequantize → float operator → Quantize, which is what the quantized kernels are found
// from.
#include <algorithm>
#include <numeric>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/quantize.h"

namespace lathe::onnx {

namespace {

// A scale or zero point shaped to broadcast against `x`: one value, one a slice along `axis`, or (block > 0) one a
// block along it.
Result<ValueId> aligned(Node& n, ValueId parameter, ValueId x, int64_t axis, int64_t block) {
  if (parameter == kNoId || !n.b.ok()) return kNoId;
  const Shape p = n.b.shape(parameter), s = n.b.shape(x);
  if (product(p).equals(1)) return n.b.reshape(parameter, {});
  LATHE_TRY(axis, Node::axis(axis, static_cast<int64_t>(s.size())));
  const auto a = static_cast<size_t>(axis);
  if (block > 0) {
    const auto from = static_dims(p), to = static_dims(s);
    if (!from || !to || from->size() != to->size() || block > int64_t{1} << 31)
      return unsupported("blocks of scales need known shapes");
    Shape split = p, repeated = p, merged = p;
    split.insert(split.begin() + axis + 1, Dim(1));
    repeated.insert(repeated.begin() + axis + 1, Dim(block));
    merged[a] = merged[a] * block;
    if (merged[a].value() < (*to)[a]) return damaged("the scales " + shape_str(p) + " do not cover " + shape_str(s));
    const ValueId spread = n.b.reshape(n.b.expand(n.b.reshape(parameter, split), repeated), merged);
    return merged[a].equals((*to)[a]) ? spread : n.b.slice(spread, axis, 0, (*to)[a]);
  }
  if (p.size() != 1) return damaged("scale and zero point must be scalars or vectors, not " + shape_str(p));
  Shape target(s.size() - a, Dim(1));
  target[0] = p[0];
  return n.b.reshape(parameter, target);
}

}  // namespace

Result<ValueId> dequantized(Node& n, ValueId x, ValueId scale, ValueId zero, int64_t axis, int64_t block) {
  LATHE_TRY(const ValueId s, aligned(n, scale, x, axis, block));
  LATHE_TRY(const ValueId z, aligned(n, zero, x, axis, block));
  Values inputs = {x, s};
  if (z != kNoId) inputs.push_back(z);
  return n.b.op("Dequantize", std::move(inputs));
}

Result<ValueId> quantized(Node& n, ValueId x, ValueId scale, ValueId zero, DType to, int64_t axis, int64_t block) {
  LATHE_TRY(const ValueId s, aligned(n, scale, x, axis, block));
  LATHE_TRY(const ValueId z, aligned(n, zero, x, axis, block));
  Values inputs = {x, s};
  if (z != kNoId) inputs.push_back(z);
  return n.b.make<ops::Quantize>(std::move(inputs), [&](ops::Quantize& q) { q.to = to; });
}

namespace {

// Integer tensors as f32 with the zero point taken off.
Result<ValueId> plain(Node& n, ValueId x, ValueId zero, int64_t axis) {
  return dequantized(n, x, n.b.scalar(DType::kF32, 1), zero, axis);
}

}  // namespace

Result<Values> quantize(Node& n) {
  int64_t to = n.i("output_dtype", 0);
  if (to == 0) to = static_cast<int64_t>(n.has(2) ? n.dtype(2) : DType::kU8);
  if (to < 0 || !dtype_valid(static_cast<uint64_t>(to)))
    return unsupported("element type " + std::to_string(to) + " is not supported");
  LATHE_TRY(const ValueId y,
            quantized(n, n.in(0), n.in(1), n.in(2), static_cast<DType>(to), n.i("axis", 1), n.i("block_size", 0)));
  return n.done(y);
}

Result<Values> dequantize(Node& n) {
  LATHE_TRY(const ValueId y, dequantized(n, n.in(0), n.in(1), n.in(2), n.i("axis", 1), n.i("block_size", 0)));
  const int64_t to = n.i("output_dtype", 0);
  if (to == 0) return n.done(y);
  if (to < 0 || !dtype_valid(static_cast<uint64_t>(to)))
    return unsupported("element type " + std::to_string(to) + " is not supported");
  return n.done(n.b.cast(y, static_cast<DType>(to)));
}

// To u8 by the range of the data, which is made to hold 0.
Result<Values> dynamic_quantize(Node& n) {
  std::vector<int64_t> axes(static_cast<size_t>(n.rank(0)));
  std::iota(axes.begin(), axes.end(), 0);
  const ValueId zero = n.b.scalar(DType::kF32, 0), top = n.b.scalar(DType::kF32, 255);
  const ValueId high = n.b.op("Max", {n.b.reduce("max", n.in(0), axes, false), zero});
  const ValueId low = n.b.op("Min", {n.b.reduce("min", n.in(0), axes, false), zero});
  const ValueId scale = n.b.op("Div", {n.b.op("Sub", {high, low}), top});
  const ValueId point = n.b.op("Round", {n.b.op("Clip", {n.b.op("Div", {n.b.op("Neg", {low}), scale}), zero, top})});
  const ValueId zero_point = n.b.cast(point, DType::kU8);
  LATHE_TRY(const ValueId y, quantized(n, n.in(0), scale, zero_point, DType::kU8, 0));
  return n.done({y, scale, zero_point});
}

// x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b (i32 in units of x_scale * w_scale)
Result<Values> qlinear_conv(Node& n) {
  LATHE_TRY(const ValueId x, dequantized(n, n.in(0), n.in(1), n.in(2), 1));
  LATHE_TRY(const ValueId w, dequantized(n, n.in(3), n.in(4), n.in(5), 0));
  Values inputs = {x, w};
  if (n.has(8)) {
    const ValueId unit = n.b.op("Mul", {n.in(1), n.in(4)});
    inputs.push_back(
        n.b.op("Mul", {n.b.cast(n.in(8), DType::kF32),
                       n.b.rank(unit) == 1 && n.b.shape(unit)[0].equals(1) ? n.b.reshape(unit, {}) : unit}));
  }
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs(std::move(inputs));
  LATHE_TRY(const Values y, conv(inner));
  LATHE_TRY(const ValueId q, quantized(n, y[0], n.in(6), n.in(7), n.dtype(7), 1));
  return n.done(q);
}

// a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; parameters of a by row, of b by column
Result<Values> qlinear_matmul(Node& n) {
  const int64_t row = std::max<int64_t>(-2, -n.rank(0));
  LATHE_TRY(const ValueId a, dequantized(n, n.in(0), n.in(1), n.in(2), row));
  LATHE_TRY(const ValueId b, dequantized(n, n.in(3), n.in(4), n.in(5), -1));
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs({a, b});
  LATHE_TRY(const Values y, matmul(inner));
  LATHE_TRY(const ValueId q, quantized(n, y[0], n.in(6), n.in(7), n.dtype(7), std::max<int64_t>(-2, -n.b.rank(y[0]))));
  return n.done(q);
}

// Products of integers, computed in f32: exact below 2^24.
Result<Values> conv_integer(Node& n) {
  LATHE_TRY(const ValueId x, plain(n, n.in(0), n.in(2), 1));
  LATHE_TRY(const ValueId w, plain(n, n.in(1), n.in(3), 0));
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs({x, w});
  LATHE_TRY(const Values y, conv(inner));
  return n.done(n.b.cast(y[0], DType::kI32));
}

Result<Values> matmul_integer(Node& n) {
  LATHE_TRY(const ValueId a, plain(n, n.in(0), n.in(2), std::max<int64_t>(-2, -n.rank(0))));
  LATHE_TRY(const ValueId b, plain(n, n.in(1), n.in(3), -1));
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs({a, b});
  LATHE_TRY(const Values y, matmul(inner));
  return n.done(n.b.cast(y[0], DType::kI32));
}

}  // namespace lathe::onnx
