// SPDX-License-Identifier: Apache-2.0
#include "ops/dft.h"

#include <cmath>
#include <complex>
#include <numbers>

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Dft::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  if (x.rank() < 2 || !(x.shape.back().equals(1) || x.shape.back().equals(2)))
    return fail(Code::kUsage, "the last dimension must be 1 or 2, not that of " + shape_str(x.shape));
  LATHE_CHECK(check_axis(axis, x.rank() - 1));
  if (x.dtype != DType::kF32 && x.dtype != DType::kF64 && x.dtype != DType::kF16 && x.dtype != DType::kBF16)
    return fail(Code::kUsage, "the input must be of floats");
  if (length < 0 || length > int64_t{1} << 31) return fail(Code::kUsage, "the length is out of range");
  Shape y = x.shape;
  Dim& n = y[static_cast<size_t>(axis)];
  y.back() = 2;
  if (inverse && onesided) {
    n = length > 0 ? Dim(length) : (n - 1) * Dim(2);
    y.back() = 1;
    if (n.is_const() && n.value() < 0) return fail(Code::kUsage, "there is nothing to transform");
  } else if (onesided) {
    n = floor_div(n, 2) + 1;
  }
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Dft::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const ValueInfo info{x.dtype(), to_shape(x.dims()), nullptr, {}};
  LATHE_TRY(const auto out, infer({&info, 1}, {}));
  const std::vector<int64_t> dims = *static_dims(out[0].shape);
  Tensor y = Tensor::zeros(x.dtype(), dims);
  const auto a = static_cast<size_t>(axis);
  const int64_t given = x.dims()[a], made = dims[a], parts = x.dims().back(), out_parts = dims.back();
  const bool real = inverse && onesided;
  const int64_t n = real ? made : given;
  const int64_t outer = count_of(std::span(dims).first(a));
  const int64_t inner = count_of(std::span(dims).subspan(a + 1).first(dims.size() - a - 2));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      std::vector<std::complex<double>> in(static_cast<size_t>(n));
      const auto value = [&](int64_t k) {
        const int64_t at = ((o * given + k) * inner + i) * parts;
        return std::complex<double>(x.f64_at(at), parts == 2 ? x.f64_at(at + 1) : 0);
      };
      for (int64_t k = 0; k < n; ++k) {
        if (!real || k < given) in[static_cast<size_t>(k)] = k < given ? value(k) : 0;
        if (real && k >= n / 2 + 1) in[static_cast<size_t>(k)] = n - k < given ? std::conj(value(n - k)) : 0;
      }
      for (int64_t k = 0; k < made; ++k) {
        std::complex<double> sum = 0;
        for (int64_t t = 0; t < n; ++t) {
          const double angle = 2 * std::numbers::pi * static_cast<double>(k * t % n) / static_cast<double>(n);
          sum += in[static_cast<size_t>(t)] * std::polar(1.0, inverse ? angle : -angle);
        }
        if (inverse) sum /= static_cast<double>(n);
        const int64_t at = ((o * made + k) * inner + i) * out_parts;
        y.set(at, sum.real());
        if (out_parts == 2) y.set(at + 1, sum.imag());
      }
    }
  return one(std::move(y));
}

const OpInfo& op_dft() { return op_info<Dft>(); }

}  // namespace lathe::ops
