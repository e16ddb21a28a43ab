// SPDX-License-Identifier: Apache-2.0
// com.microsoft operators on quantized tensors: Dequantize → float operators → Quantize, as those of ONNX. Weights that
// are packed to a few bits are unpacked here.
#include <algorithm>

#include "import/onnx/compose.h"
#include "import/onnx/handlers.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "ops/softmax.h"

namespace lathe::onnx {

namespace {

// A pool or other handler of channels-second tensors on x, whose channels may be last (`channels_last`).
Result<ValueId> channels_second(Node& n, ValueId x, Handler handler) {
  const int64_t rank = n.b.rank(x);
  const bool last = n.i("channels_last", 0) != 0;
  if (rank < 3) return damaged("input " + shape_str(n.b.shape(x)) + " has no spatial dimension");
  Node inner = n.with_inputs({last ? n.b.transpose(x, first_perm(rank)) : x});
  LATHE_TRY(const Values y, handler(inner));
  return last ? n.b.transpose(y[0], last_perm(rank)) : y[0];
}

// The matrix product of float operands, plus bias.
Result<Values> product_with_bias(Node& n, ValueId a, ValueId b, ValueId bias) {
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs({a, b});
  LATHE_TRY(const Values y, matmul(inner));
  return n.done(bias == kNoId ? y[0] : n.b.op("Add", {y[0], bias}));
}

}  // namespace

// a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; the row names the operator
Result<Values> qlinear_binary(Node& n) {
  LATHE_TRY(const ValueId a, dequantized(n, n.in(0), n.in(1), n.in(2), 0));
  LATHE_TRY(const ValueId b, dequantized(n, n.in(3), n.in(4), n.in(5), 0));
  LATHE_TRY(const ValueId q, quantized(n, n.b.op(n.canonical(), {a, b}), n.in(6), n.in(7), n.dtype(0), 0));
  return n.done(q);
}

// x, x_scale, x_zero_point, y_scale, y_zero_point; the row names the operator
Result<Values> qlinear_unary(Node& n) {
  LATHE_TRY(const ValueId x, dequantized(n, n.in(0), n.in(1), n.in(2), 0));
  const ValueId y =
      n.attr("alpha") ? n.b.op(n.canonical(), {x}, {{"alpha", n.f("alpha", 0)}}) : n.b.op(n.canonical(), {x});
  LATHE_TRY(const ValueId q, quantized(n, y, n.in(3), n.in(4), n.dtype(0), 0));
  return n.done(q);
}

// y_scale, y_zero_point, then x, x_scale, x_zero_point for each part
Result<Values> qlinear_concat(Node& n) {
  if (n.input_count() < 5 || n.input_count() % 3 != 2)
    return damaged("takes y's scale and zero point and three inputs a part");
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", 0), n.rank(2)));
  Values parts;
  for (size_t i = 2; i < n.input_count(); i += 3) {
    LATHE_TRY(parts.emplace_back(), dequantized(n, n.in(i), n.in(i + 1), n.in(i + 2), 0));
  }
  LATHE_TRY(const ValueId q, quantized(n, n.b.concat(std::move(parts), axis), n.in(0), n.in(1), n.dtype(2), 0));
  return n.done(q);
}

// x, x_scale, x_zero_point, y_scale, y_zero_point; the row says which pool
Result<Values> qlinear_pool(Node& n) {
  LATHE_TRY(const ValueId x, dequantized(n, n.in(0), n.in(1), n.in(2), 0));
  LATHE_TRY(const ValueId y, channels_second(n, x, n.canonical() == "mean" ? global_pool : pool));
  LATHE_TRY(const ValueId q, quantized(n, y, n.in(3), n.in(4), n.dtype(0), 0));
  return n.done(q);
}

// x, x_scale, x_zero_point, y_scale, y_zero_point; before `opset` 13 the dimensions from `axis` on are one.
Result<Values> qlinear_softmax(Node& n) {
  LATHE_TRY(const ValueId x, dequantized(n, n.in(0), n.in(1), n.in(2), 0));
  const Shape s = n.shape(0);
  LATHE_TRY(const int64_t axis, Node::axis(n.i("axis", -1), n.rank(0)));
  const bool matrix = n.i("opset", 13) < 13;
  const ValueId rows =
      matrix ? n.b.reshape(x, {product({s.begin(), s.begin() + axis}), product({s.begin() + axis, s.end()})}) : x;
  const ValueId y = n.b.make<ops::Softmax>({rows}, [&](ops::Softmax& o) { o.axis = matrix ? 1 : axis; });
  LATHE_TRY(const ValueId q, quantized(n, matrix && n.b.ok() ? n.b.reshape(y, s) : y, n.in(3), n.in(4), n.dtype(0), 0));
  return n.done(q);
}

// condition, x, x_scale, x_zero_point, y, y_scale, y_zero_point, z_scale, z_zero_point
Result<Values> qlinear_where(Node& n) {
  LATHE_TRY(const ValueId x, dequantized(n, n.in(1), n.in(2), n.in(3), 0));
  LATHE_TRY(const ValueId y, dequantized(n, n.in(4), n.in(5), n.in(6), 0));
  LATHE_TRY(const ValueId q, quantized(n, n.b.op("Where", {n.in(0), x, y}), n.in(7), n.in(8), n.dtype(1), 0));
  return n.done(q);
}

// QLinearConv with channels last: so are x and y; the weights are as ever.
Result<Values> contrib_qlinear_conv(Node& n) {
  if (n.i("channels_last", 0) == 0) return qlinear_conv(n);
  const int64_t rank = n.rank(0);
  if (rank < 3) return damaged("input " + shape_str(n.shape(0)) + " has no spatial dimension");
  Values inputs = n.inputs();
  inputs[0] = n.b.transpose(inputs[0], first_perm(rank));
  Node inner = n.with_inputs(std::move(inputs));
  LATHE_TRY(const Values y, qlinear_conv(inner));
  return n.done(n.b.transpose(y[0], last_perm(rank)));
}

// A, a_scale, a_zero_point, B, b_scale, b_zero_point, C? (i32 in units of a_scale * b_scale), y_scale?, y_zero_point?:
// alpha * (A B + C), as f32 without y_scale.
Result<Values> qgemm(Node& n) {
  if (n.rank(0) != 2 || n.rank(3) != 2) return damaged("operands must be matrices");
  const bool trans_b = n.i("transB", 0) != 0;
  LATHE_TRY(const ValueId a, dequantized(n, n.in(0), n.in(1), n.in(2), 0));
  LATHE_TRY(const ValueId b, dequantized(n, n.in(3), n.in(4), n.in(5), trans_b ? 0 : 1));
  ValueId y = n.b.make<ops::MatMul>({a, b}, [&](ops::MatMul& m) {
    m.trans_a = n.i("transA", 0) != 0;
    m.trans_b = trans_b;
  });
  if (n.has(6)) {
    ValueId unit = n.b.op("Mul", {n.in(1), n.in(4)});
    if (n.b.ok() && n.b.rank(unit) == 1 && n.b.shape(unit)[0].equals(1)) unit = n.b.reshape(unit, {});
    y = n.b.op("Add", {y, n.b.op("Mul", {n.b.cast(n.in(6), DType::kF32), unit})});
  }
  if (const double alpha = n.f("alpha", 1); alpha != 1) y = n.b.op("Mul", {y, n.b.scalar(DType::kF32, alpha)});
  if (!n.has(7)) return n.done(y);
  LATHE_TRY(const ValueId q, quantized(n, y, n.in(7), n.in(8), n.has(8) ? n.dtype(8) : n.dtype(0), 0));
  return n.done(q);
}

// A, B, a_scale, b_scale, a_zero_point?, b_zero_point?, bias?; parameters of B by column
Result<Values> matmul_integer_to_float(Node& n) {
  LATHE_TRY(const ValueId a, dequantized(n, n.in(0), n.in(2), n.in(4), -1));
  LATHE_TRY(const ValueId b, dequantized(n, n.in(1), n.in(3), n.in(5), -1));
  return product_with_bias(n, a, b, n.in(6));
}

// A (f32, quantized to u8 by its range), B, b_scale, b_zero_point?, bias?
Result<Values> dynamic_quantize_matmul(Node& n) {
  Node first = n.with_inputs({n.in(0)});
  LATHE_TRY(const Values q, dynamic_quantize(first));
  LATHE_TRY(const ValueId a, dequantized(n, q[0], q[1], q[2], 0));
  LATHE_TRY(const ValueId b, dequantized(n, n.in(1), n.in(2), n.in(3), -1));
  return product_with_bias(n, a, b, n.in(4));
}

// X, W [dirs, I, 4H], R [dirs, H, 4H], B, sequence_lens, initial_h, initial_c, P, then scale and zero point of W and R,
// one a direction or one a column. X stays a float: only the weights are quantized here.
Result<Values> dynamic_quantize_lstm(Node& n) {
  if (n.input_count() < 12) return damaged("takes 12 inputs");
  const auto weight = [&](size_t i, size_t scale) -> Result<ValueId> {
    const Shape s = n.shape(i);
    if (s.size() != 3) return damaged("W and R must be of rank 3");
    const auto aligned = [&](size_t at) {
      const Shape p = n.shape(at);
      return n.b.reshape(n.in(at), p.size() == 2 ? Shape{p[0], 1, p[1]} : Shape{s[0], 1, 1});
    };
    const ValueId w = n.b.op("Dequantize", {n.in(i), aligned(scale), aligned(scale + 1)});
    return n.b.transpose(w, {0, 2, 1});
  };
  LATHE_TRY(const ValueId w, weight(1, 8));
  LATHE_TRY(const ValueId r, weight(2, 10));
  if (!n.b.ok()) return n.done(kNoId);
  Node inner = n.with_inputs({n.in(0), w, r, n.in(3), n.in(4), n.in(5), n.in(6), n.in(7)});
  return recurrent(inner);
}

namespace {

// Unsigned values of `bits` bits in a row, low bits first.
class Packed {
 public:
  Packed(std::span<const std::byte> bytes, int64_t bits) : bytes_(bytes), bits_(bits) {}
  [[nodiscard]] int operator()(int64_t i) const {
    const int64_t at = i * bits_;
    return (std::to_integer<int>(bytes_[static_cast<size_t>(at / 8)]) >> (at % 8)) & ((1 << bits_) - 1);
  }

 private:
  std::span<const std::byte> bytes_;
  int64_t bits_;
};

}  // namespace

// A, B (u8 [N, blocks, bytes], `bits` a value, low bits first), scales [N, blocks], zero_points? (packed alike along
// the blocks, or of A's type), g_idx?, bias?: A times the transpose of the unpacked B.
Result<Values> matmul_nbits(Node& n) {
  const int64_t columns = n.i("N", 0), rows = n.i("K", 0), bits = n.i("bits", 4), block = n.i("block_size", 0);
  constexpr int64_t kMost = int64_t{1} << 31;
  if (columns < 1 || columns > kMost || rows < 1 || rows > kMost || block < 16 || block > kMost ||
      (block & (block - 1)) != 0)
    return damaged("N, K or block_size is out of range");
  if (bits != 2 && bits != 4 && bits != 8) return unsupported(std::to_string(bits) + " bits are not supported");
  if (n.has(4)) return unsupported("g_idx is not supported");
  if (n.i("weight_prepacked", 0) != 0) return unsupported("prepacked weights are not supported");
  const Tensor *b = n.constant(1), *scales = n.constant(2), *zeros = n.constant(3);
  if (!b || !scales || (n.has(3) && !zeros)) return unsupported("B, scales and zero_points must be constant");
  const int64_t blocks = (rows + block - 1) / block, zero_bytes = (blocks * bits + 7) / 8;
  const bool packed_zeros = zeros && zeros->dtype() == DType::kU8;
  if (b->dtype() != DType::kU8 || __int128{b->count()} != __int128{columns} * blocks * (block * bits / 8))
    return damaged("B does not hold " + std::to_string(columns) + " x " + std::to_string(rows) + " values");
  if (!dtype_info(scales->dtype()).is_float || scales->count() != columns * blocks ||
      (zeros && zeros->count() != columns * (packed_zeros ? zero_bytes : blocks)))
    return damaged("scales or zero_points do not fit B");
  Tensor codes = Tensor::zeros(DType::kU8, {columns, blocks, block}),
         zero = Tensor::zeros(DType::kU8, {columns, blocks, 1});
  const Packed values(b->bytes(), bits);
  for (int64_t i = 0; i < codes.count(); ++i) codes.set_i64(i, values(i));
  for (int64_t c = 0; c < columns; ++c) {
    const Packed row(packed_zeros ? zeros->bytes().subspan(static_cast<size_t>(c * zero_bytes)) : b->bytes(), bits);
    for (int64_t k = 0; k < blocks; ++k) zero.set_i64(c * blocks + k, packed_zeros ? row(k) : int64_t{1} << (bits - 1));
  }
  const std::vector<float> scale = scales->to_f32();
  const std::vector<int64_t> each = {columns, blocks, 1};
  const ValueId by = n.b.constant(Tensor::of<float>(DType::kF32, each, scale));
  ValueId w = kNoId;
  if (zeros && !packed_zeros) {  // floats, which no code need be equal to
    const ValueId shift = n.b.constant(Tensor::of<float>(DType::kF32, each, zeros->to_f32()));
    const ValueId plain = n.b.cast(n.b.constant(std::move(codes)), DType::kF32);
    w = n.b.op("Mul", {n.b.op("Sub", {plain, shift}), by});
  } else {
    w = n.b.op("Dequantize", {n.b.constant(std::move(codes)), by, n.b.constant(std::move(zero))});
  }
  w = n.b.reshape(w, {columns, blocks * block});
  if (blocks * block != rows) w = n.b.slice(w, 1, 0, rows);
  const Shape s = n.shape(0);
  if (s.empty()) return damaged("A must not be a scalar");
  const ValueId a = s.size() == 1 ? n.b.reshape(n.in(0), {1, s[0]}) : n.in(0);
  ValueId y = n.b.make<ops::MatMul>({a, n.b.cast(w, n.dtype(0))}, [](ops::MatMul& m) { m.trans_b = true; });
  if (s.size() == 1 && n.b.ok()) y = n.b.reshape(y, {columns});
  return n.done(n.has(5) ? n.b.op("Add", {y, n.in(5)}) : y);
}

}  // namespace lathe::onnx
