// SPDX-License-Identifier: Apache-2.0
#include "ops/softmax.h"

#include <algorithm>
#include <cmath>

namespace lathe::ops {

Result<std::vector<ValueInfo>> Softmax::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  if (inputs.size() != 1) return fail(Code::kUsage, "takes one input");
  const ValueInfo& x = inputs[0];
  if (!dtype_info(x.dtype).is_float)
    return fail(Code::kUnsupported, "input type " + std::string(dtype_name(x.dtype)) + " is not supported");
  if (axis < 0 || axis >= x.rank())
    return fail(Code::kUsage, "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(x.rank()));
  ValueInfo out;
  out.dtype = x.dtype;
  out.shape = x.shape;
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> Softmax::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto& dims = x.dims();
  const auto a = static_cast<size_t>(axis);
  int64_t outer = 1, inner = 1;
  for (size_t d = 0; d < a; ++d) outer *= dims[d];
  for (size_t d = a + 1; d < dims.size(); ++d) inner *= dims[d];
  const int64_t n = dims[a];
  Tensor out = Tensor::zeros(x.dtype(), dims);
  std::vector<double> row(static_cast<size_t>(n));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const int64_t base = o * n * inner + i;
      double top = -INFINITY, sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        row[static_cast<size_t>(k)] = x.f64_at(base + k * inner);
        top = std::max(top, row[static_cast<size_t>(k)]);
      }
      for (const double v : row) sum += std::exp(v - top);
      for (int64_t k = 0; k < n; ++k) {
        const double v = row[static_cast<size_t>(k)] - top;
        out.set(base + k * inner, log ? v - std::log(sum) : std::exp(v) / sum);
      }
    }
  return std::vector<Tensor>{std::move(out)};
}

double Softmax::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  // Per element: maximum, subtraction, exponential, sum, division.
  return 5 * static_cast<double>(product(inputs[0].shape).as_const().value_or(0));
}

const OpInfo& op_softmax() { return op_info<Softmax>(); }

}  // namespace lathe::ops
