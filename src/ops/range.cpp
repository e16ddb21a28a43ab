// SPDX-License-Identifier: Apache-2.0
#include "ops/range.h"

#include <algorithm>
#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

// Elements of start … limit by delta; negative if delta is 0.
double length(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  const double step = delta.f64_at(0);
  if (step == 0) return -1;
  return std::max(0.0, std::ceil((limit.f64_at(0) - start.f64_at(0)) / step));
}

}  // namespace

Result<std::vector<ValueInfo>> Range::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 3, 3));
  const DType t = inputs[0].dtype;
  for (const ValueInfo& v : inputs)
    if (v.dtype != t || v.rank() > 1) return fail(Code::kUsage, "start, limit and delta must be scalars of one type");
  if (inputs[0].constant && inputs[1].constant && inputs[2].constant) {
    const double n = length(*inputs[0].constant, *inputs[1].constant, *inputs[2].constant);
    if (n < 0) return fail(Code::kUsage, "delta is 0");
    if (!(n < 0x1p40)) return fail(Code::kUnsupported, "the range is too long");
    return one(t, {static_cast<int64_t>(n)});
  }
  const auto start = content_of(inputs[0]), limit = content_of(inputs[1]);
  const auto step = integers_of(inputs[2]);
  const bool known =
      start && limit && step && start->size() == 1 && limit->size() == 1 && step->size() == 1 && (*step)[0] > 0;
  if (!known) return one(t, {fresh("range")});
  const Dim span = (*limit)[0] - (*start)[0];
  return one(t, {ceil_div((*start)[0].equals(0) ? span : max(span, 0), (*step)[0])});
}

Result<std::vector<Tensor>> Range::evaluate(std::span<const Tensor> inputs) const {
  const double n = length(inputs[0], inputs[1], inputs[2]);
  if (!(n >= 0 && n < 0x1p40)) return fail(Code::kUsage, "delta is 0 or the range is too long");
  Tensor y = Tensor::zeros(inputs[0].dtype(), {static_cast<int64_t>(n)});
  const bool real = dtype_info(y.dtype()).is_float;
  for (int64_t i = 0; i < y.count(); ++i) {
    if (real)
      y.set(i, inputs[0].f64_at(0) + static_cast<double>(i) * inputs[2].f64_at(0));
    else
      y.set_i64(i, inputs[0].i64_at(0) + i * inputs[2].i64_at(0));
  }
  return one(std::move(y));
}

const OpInfo& op_range() { return op_info<Range>(); }

}  // namespace lathe::ops
