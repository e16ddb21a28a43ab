// SPDX-License-Identifier: Apache-2.0
// Conversions between reals and the integers that stand for them.
#include "import/tflite/integer.h"

namespace lathe::tflite {

namespace {

// A value for each index along the axis, shaped to broadcast against the tensor; a scalar where there is one.
template <class T>
ValueId along(Node& n, const std::vector<T>& values, DType type, int64_t axis, int64_t rank) {
  if (values.size() == 1) return n.b.scalar(type, static_cast<double>(values[0]));
  std::vector<int64_t> dims(static_cast<size_t>(rank - axis), 1);
  dims[0] = static_cast<int64_t>(values.size());
  Tensor t = Tensor::zeros(type, dims);
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), static_cast<double>(values[i]));
  return n.b.constant(std::move(t));
}

}  // namespace

Result<Values> dequantize(Node& n) {
  const Quantization* q = n.quant_in(0);
  if (dtype_info(n.dtype(0)).is_float) return n.done(n.b.cast(n.in(0), n.out_dtype(0)));
  if (!q) return damaged("its input has no scale");
  Values inputs = {n.in(0), along(n, q->scales, DType::kF32, q->axis, n.rank(0))};
  inputs.push_back(along(n, q->zero_points, n.dtype(0), q->axis, n.rank(0)));
  return n.done(n.b.op("Dequantize", std::move(inputs)));
}

// From reals, rounded halves away from zero; or from integers of one scale to those of another.
Result<Values> quantize(Node& n) {
  const Quantization* out = n.quant_out(0);
  if (!out) return damaged("its output has no scale");
  if (out->per_axis()) return unsupported("quantization by channel is not supported");
  const DType type = n.out_dtype(0);
  const Range range = activation_range(type, *out, fb::Activation::NONE);
  if (dtype_bits(type) > 16) return unsupported("to " + std::string(dtype_name(type)) + " it is not supported");
  if (dtype_info(n.dtype(0)).is_float)
    return n.done(pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
      // Limited before it becomes an integer, so that any real does.
      const Expr steps = fixed::round_away(cast(e[0], DType::kF32) / static_cast<double>(out->scale()));
      return stored(cast(min(max(steps, -1e6), 1e6), DType::kI32), *out, range, type);
    }));
  const Quantization* in = n.quant_in(0);
  if (!in || in->per_axis()) return unsupported("its input has no scale, or one for each channel");
  const auto m = fixed::multiplier(static_cast<double>(in->scale()) / static_cast<double>(out->scale()));
  return n.done(pointwise(n, {n.in(0)}, [&](std::span<const Expr> e) {
    return stored(fixed::multiply(small_centred(e[0], in->zero_point()), m), *out, range, type);
  }));
}

}  // namespace lathe::tflite
