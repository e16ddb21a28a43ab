// SPDX-License-Identifier: Apache-2.0
#include "ops/arg_reduce.h"

#include <cmath>

namespace lathe::ops {

Result<std::vector<ValueInfo>> ArgReduce::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  if (inputs.size() != 1) return fail(Code::kUsage, "takes one input");
  if (kind != "max" && kind != "min") return fail(Code::kUnsupported, "unknown kind \"" + kind + "\"");
  const ValueInfo& x = inputs[0];
  if (axis < 0 || axis >= x.rank())
    return fail(Code::kUsage, "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(x.rank()));
  ValueInfo out;
  out.dtype = DType::kI64;
  out.shape = x.shape;
  const auto at = out.shape.begin() + static_cast<std::ptrdiff_t>(axis);
  if (keepdims)
    *at = 1;
  else
    out.shape.erase(at);
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> ArgReduce::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  std::vector<int64_t> dims = x.dims();
  const auto a = static_cast<size_t>(axis);
  int64_t outer = 1, inner = 1;
  for (size_t d = 0; d < a; ++d) outer *= dims[d];
  for (size_t d = a + 1; d < dims.size(); ++d) inner *= dims[d];
  const int64_t n = dims[a];
  if (n == 0) return fail(Code::kUsage, "the reduced axis is empty");
  if (keepdims)
    dims[a] = 1;
  else
    dims.erase(dims.begin() + axis);

  // a NaN wins over every number (numpy); integers compare exactly.
  const bool whole = !dtype_info(x.dtype()).is_float;
  auto better = [&](int64_t i, int64_t best) {
    int order = 0;  // 1: element i wins
    if (whole) {
      const int64_t p = x.i64_at(i), q = x.i64_at(best);
      order = p == q ? 0 : (p > q) == (kind == "max") ? 1 : -1;
    } else {
      const double p = x.f64_at(i), q = x.f64_at(best);
      if (std::isnan(p) || std::isnan(q))
        order = std::isnan(p) - std::isnan(q);
      else
        order = p == q ? 0 : (p > q) == (kind == "max") ? 1 : -1;
    }
    return order > 0 || (order == 0 && select_last);
  };
  Tensor out = Tensor::zeros(DType::kI64, dims);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const int64_t base = o * n * inner + i;
      int64_t best = 0;
      for (int64_t k = 1; k < n; ++k)
        if (better(base + k * inner, base + best * inner)) best = k;
      out.mutable_as<int64_t>()[static_cast<size_t>(o * inner + i)] = best;
    }
  return std::vector<Tensor>{std::move(out)};
}

const OpInfo& op_arg_reduce() { return op_info<ArgReduce>(); }

}  // namespace lathe::ops
