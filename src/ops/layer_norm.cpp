// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_norm.h"

#include <cmath>

namespace lathe::ops {

Result<std::vector<ValueInfo>> LayerNorm::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  if (inputs.empty() || inputs.size() > 3) return fail(Code::kUsage, "takes 1 to 3 inputs");
  const ValueInfo& x = inputs[0];
  if (!dtype_info(x.dtype).is_float)
    return fail(Code::kUnsupported, "input type " + std::string(dtype_name(x.dtype)) + " is not supported");
  if (axis < 0 || axis >= x.rank())
    return fail(Code::kUsage, "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(x.rank()));
  const Shape trailing(x.shape.begin() + static_cast<std::ptrdiff_t>(axis), x.shape.end());
  for (size_t i = 1; i < inputs.size(); ++i) {
    if (inputs[i].dtype == DType::kUndefined) continue;
    bool fits = inputs[i].shape.size() == trailing.size();
    for (size_t d = 0; fits && d < trailing.size(); ++d) {
      const Dim& s = inputs[i].shape[d];
      fits = s == trailing[d] || !s.is_const() || !trailing[d].is_const();
    }
    if (!fits || inputs[i].dtype != x.dtype)
      return fail(Code::kUsage, std::string(i == 1 ? "scale" : "bias") + " is " +
                                    std::string(dtype_name(inputs[i].dtype)) + shape_str(inputs[i].shape) + ", not " +
                                    std::string(dtype_name(x.dtype)) + shape_str(trailing));
  }
  ValueInfo out;
  out.dtype = x.dtype;
  out.shape = x.shape;
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> LayerNorm::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  auto given = [&](size_t i) { return inputs.size() > i && !inputs[i].empty(); };
  int64_t n = 1;
  for (size_t d = static_cast<size_t>(axis); d < x.dims().size(); ++d) n *= x.dims()[d];
  Tensor out = Tensor::zeros(x.dtype(), x.dims());
  for (int64_t base = 0; base < x.count(); base += n) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n && !rms; ++i) mean += x.f64_at(base + i);
    mean /= static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) square += (x.f64_at(base + i) - mean) * (x.f64_at(base + i) - mean);
    const double factor = 1 / std::sqrt(square / static_cast<double>(n) + epsilon);
    for (int64_t i = 0; i < n; ++i) {
      double v = (x.f64_at(base + i) - mean) * factor;
      if (given(1)) v *= inputs[1].f64_at(i);
      if (given(2)) v += inputs[2].f64_at(i);
      out.set(base + i, v);
    }
  }
  return std::vector<Tensor>{std::move(out)};
}

double LayerNorm::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  // Per element: sum, difference, square, sum, difference, product, scale, bias.
  return (rms ? 5 : 8) * static_cast<double>(product(inputs[0].shape).as_const().value_or(0));
}

const OpInfo& op_layer_norm() { return op_info<LayerNorm>(); }

}  // namespace lathe::ops
