// SPDX-License-Identifier: Apache-2.0
#include "ops/_scatter.h"

#include <algorithm>

namespace lathe::ops {

Status Scatterer::check(const std::string& reduction, DType dtype) {
  if (reduction == "none") return {};
  if (reduction != "add" && reduction != "mul" && reduction != "min" && reduction != "max")
    return fail(Code::kUsage, "reduction \"" + reduction + "\" is not none, add, mul, min or max");
  if (!with_type(compute_type(dtype), [](auto) {}))
    return fail(Code::kUnsupported, "reduction of " + std::string(dtype_name(dtype)) + " is not supported");
  return {};
}

Scatterer::Scatterer(const Tensor& x, const Tensor& updates, const std::string& reduction)
    : updates_(updates), reduction_(reduction), plain_(x) {
  if (reduction == "none") return;
  sums_ = plain_.take();
}

void Scatterer::put(int64_t i, int64_t update) {
  if (reduction_ == "none") {
    plain_.put(i, updates_, update);
    return;
  }
  const auto combine = [&](auto a, auto b) {
    using T = decltype(a);
    if (reduction_ == "add") return static_cast<T>(a + b);
    if (reduction_ == "mul") return static_cast<T>(a * b);
    return reduction_ == "min" ? std::min(a, b) : std::max(a, b);
  };
  if (compute_type(sums_.dtype()) != sums_.dtype()) {
    sums_.set(i, static_cast<double>(
                     combine(static_cast<float>(sums_.f64_at(i)), static_cast<float>(updates_.f64_at(update)))));
    return;
  }
  with_type(sums_.dtype(), [&](auto tag) {
    using T = decltype(tag);
    T& to = sums_.mutable_as<T>()[static_cast<size_t>(i)];
    to = combine(to, updates_.as<T>()[static_cast<size_t>(update)]);
  });
}

Result<Tensor> Scatterer::take() { return reduction_ == "none" ? plain_.take() : std::move(sums_); }

}  // namespace lathe::ops
