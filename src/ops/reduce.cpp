// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe::ops {

namespace {

enum class Kind : uint8_t { kSum, kMean, kMax, kMin, kProd, kSumSquare, kL1, kL2, kLogSum, kLogSumExp };
constexpr std::string_view kKinds[] = {"sum",        "mean", "max", "min",     "prod",
                                       "sum_square", "l1",   "l2",  "log_sum", "log_sum_exp"};

Result<Kind> kind_of(const std::string& name) {
  const auto* const it = std::find(std::begin(kKinds), std::end(kKinds), name);
  if (it == std::end(kKinds)) return fail(Code::kUnsupported, "unknown kind \"" + name + "\"");
  return static_cast<Kind>(it - std::begin(kKinds));
}

template <class T>
T neutral(Kind k) {
  using Limits = std::numeric_limits<T>;
  switch (k) {
    case Kind::kMax:
    case Kind::kLogSumExp:
      return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    case Kind::kMin:
      return Limits::has_infinity ? Limits::infinity() : Limits::max();
    case Kind::kProd:
      return 1;
    default:
      return 0;
  }
}

// One step of the accumulation; for log_sum_exp that of the maximum, its sum comes in a second pass.
double accumulate(Kind k, double acc, double x) {
  switch (k) {
    case Kind::kMax:
    case Kind::kLogSumExp:
      return std::isnan(x) || std::isnan(acc) ? std::nan("") : std::max(acc, x);
    case Kind::kMin:
      return std::isnan(x) || std::isnan(acc) ? std::nan("") : std::min(acc, x);
    case Kind::kProd:
      return acc * x;
    case Kind::kSumSquare:
    case Kind::kL2:
      return acc + x * x;
    case Kind::kL1:
      return acc + std::abs(x);
    default:
      return acc + x;
  }
}

int64_t accumulate(Kind k, int64_t acc, int64_t x) {
  const auto ua = static_cast<uint64_t>(acc), ux = static_cast<uint64_t>(x);
  switch (k) {
    case Kind::kMax:
      return std::max(acc, x);
    case Kind::kMin:
      return std::min(acc, x);
    case Kind::kProd:
      return static_cast<int64_t>(ua * ux);
    case Kind::kSumSquare:
      return static_cast<int64_t>(ua + ux * ux);
    case Kind::kL1:
      return static_cast<int64_t>(ua + (x < 0 ? 0 - ux : ux));
    default:
      return static_cast<int64_t>(ua + ux);
  }
}

// Calls f(input index, output index) for every element of a tensor of `dims`.
template <class F>
void walk(const std::vector<int64_t>& dims, const std::vector<int64_t>& out_strides, int64_t count, F f) {
  std::vector<int64_t> at(dims.size(), 0);
  int64_t to = 0;
  for (int64_t i = 0; i < count; ++i) {
    f(i, to);
    for (size_t d = dims.size(); d-- > 0;) {
      to += out_strides[d];
      if (++at[d] < dims[d]) break;
      to -= out_strides[d] * dims[d];
      at[d] = 0;
    }
  }
}

bool contains(const std::vector<int64_t>& axes, size_t d) {
  return std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) != axes.end();
}

}  // namespace

Result<std::vector<ValueInfo>> Reduce::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  if (inputs.size() != 1) return fail(Code::kUsage, "takes one input");
  LATHE_TRY(const Kind k, kind_of(kind));
  const ValueInfo& x = inputs[0];
  const DTypeInfo& type = dtype_info(x.dtype);
  if (!type.is_float && !type.is_int && x.dtype != DType::kBool)
    return fail(Code::kUnsupported, "input type " + std::string(type.name) + " is not supported");
  for (const int64_t a : axes)
    if (a < 0 || a >= x.rank())
      return fail(Code::kUsage, "axis " + std::to_string(a) + " is out of range for rank " + std::to_string(x.rank()));
  ValueInfo out;
  out.dtype = x.dtype;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (!contains(axes, d))
      out.shape.push_back(x.shape[d]);
    else if (keepdims)
      out.shape.emplace_back(1);
  }
  const auto content = content_of(x);
  if (content && axes.size() == 1 && x.rank() == 1 &&
      (k == Kind::kSum || k == Kind::kProd || k == Kind::kMax || k == Kind::kMin) && !content->empty()) {
    Dim r = content->front();
    for (const Dim& d : std::span(*content).subspan(1))
      r = k == Kind::kSum ? r + d : k == Kind::kProd ? r * d : k == Kind::kMax ? max(r, d) : min(r, d);
    out.content = std::vector<Dim>{r};
  }
  return std::vector<ValueInfo>{std::move(out)};
}

Result<std::vector<Tensor>> Reduce::evaluate(std::span<const Tensor> inputs) const {
  LATHE_TRY(const Kind k, kind_of(kind));
  const Tensor& x = inputs[0];
  const auto& dims = x.dims();
  std::vector<int64_t> out_dims, strides(dims.size(), 0);
  int64_t stride = 1, reduced = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    if (contains(axes, d)) {
      reduced *= dims[d];
      if (keepdims) out_dims.insert(out_dims.begin(), 1);
    } else {
      strides[d] = stride;
      stride *= dims[d];
      out_dims.insert(out_dims.begin(), dims[d]);
    }
  }
  Tensor out = Tensor::zeros(x.dtype(), out_dims);
  const auto count = static_cast<size_t>(out.count());
  const bool whole = !dtype_info(x.dtype()).is_float && k != Kind::kL2 && k != Kind::kLogSum && k != Kind::kLogSumExp;
  if (whole) {
    std::vector<int64_t> acc(count, neutral<int64_t>(k));
    walk(dims, strides, x.count(), [&](int64_t i, int64_t to) {
      auto& a = acc[static_cast<size_t>(to)];
      a = accumulate(k, a, x.i64_at(i));
    });
    for (size_t i = 0; i < count; ++i)
      out.set_i64(static_cast<int64_t>(i), k == Kind::kMean && reduced > 0 ? acc[i] / reduced : acc[i]);
    return std::vector<Tensor>{std::move(out)};
  }
  std::vector<double> acc(count, neutral<double>(k));
  walk(dims, strides, x.count(), [&](int64_t i, int64_t to) {
    auto& a = acc[static_cast<size_t>(to)];
    a = accumulate(k, a, x.f64_at(i));
  });
  if (k == Kind::kLogSumExp) {
    std::vector<double> sum(count, 0);
    auto base = [&](size_t i) { return std::isfinite(acc[i]) ? acc[i] : 0; };
    walk(dims, strides, x.count(), [&](int64_t i, int64_t to) {
      const auto at = static_cast<size_t>(to);
      sum[at] += std::exp(x.f64_at(i) - base(at));
    });
    for (size_t i = 0; i < count; ++i) acc[i] = std::log(sum[i]) + base(i);
  }
  for (size_t i = 0; i < count; ++i) {
    double v = acc[i];
    if (k == Kind::kMean) v /= static_cast<double>(reduced);
    if (k == Kind::kL2) v = std::sqrt(v);
    if (k == Kind::kLogSum) v = std::log(v);
    out.set(static_cast<int64_t>(i), v);
  }
  return std::vector<Tensor>{std::move(out)};
}

double Reduce::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo>) const {
  return static_cast<double>(product(inputs[0].shape).as_const().value_or(0));
}

const OpInfo& op_reduce() { return op_info<Reduce>(); }

}  // namespace lathe::ops
