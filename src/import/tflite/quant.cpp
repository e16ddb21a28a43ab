// SPDX-License-Identifier: Apache-2.0
// Conversions between reals and the integers that stand for them.
#include "import/tflite/handlers.h"

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

Result<Values> quantize(Node&) { return unsupported("there is no scale"); }

}  // namespace lathe::tflite
