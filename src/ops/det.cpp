// SPDX-License-Identifier: Apache-2.0
#include "ops/det.h"

#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Det::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  if (x.rank() < 2) return fail(Code::kUsage, "the input must be at least a matrix");
  const Dim &rows = x.shape[x.shape.size() - 2], &columns = x.shape.back();
  if (rows.is_const() && columns.is_const() && !(rows == columns))
    return fail(Code::kUsage, "the matrices are not square: " + shape_str(x.shape));
  if (!dtype_info(x.dtype).is_float) return fail(Code::kUsage, "the input must be of floats");
  return one(x.dtype, Shape(x.shape.begin(), x.shape.end() - 2));
}

Result<std::vector<Tensor>> Det::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const int64_t n = x.dims().back();
  if (x.dims()[x.dims().size() - 2] != n) return fail(Code::kUsage, "the matrices are not square");
  Tensor y = Tensor::zeros(x.dtype(), {x.dims().begin(), x.dims().end() - 2});
  std::vector<double> a(static_cast<size_t>(n * n));
  const auto at = [&](int64_t i, int64_t j) -> double& { return a[static_cast<size_t>(i * n + j)]; };
  for (int64_t m = 0; m < y.count(); ++m) {
    for (int64_t i = 0; i < n * n; ++i) a[static_cast<size_t>(i)] = x.f64_at(m * n * n + i);
    double det = 1;
    for (int64_t c = 0; c < n; ++c) {  // Gauss, with the largest pivot of the column
      int64_t pivot = c;
      for (int64_t r = c + 1; r < n; ++r)
        if (std::abs(at(r, c)) > std::abs(at(pivot, c))) pivot = r;
      if (pivot != c) {
        for (int64_t k = 0; k < n; ++k) std::swap(at(c, k), at(pivot, k));
        det = -det;
      }
      det *= at(c, c);
      if (at(c, c) == 0) break;
      for (int64_t r = c + 1; r < n; ++r) {
        const double f = at(r, c) / at(c, c);
        for (int64_t k = c; k < n; ++k) at(r, k) -= f * at(c, k);
      }
    }
    y.set(m, det);
  }
  return one(std::move(y));
}

const OpInfo& op_det() { return op_info<Det>(); }

}  // namespace lathe::ops
