// SPDX-License-Identifier: Apache-2.0
#include "ops/_integer.h"

#include <algorithm>

#include "ops/_data.h"

namespace lathe::ops {

DType sum_type(DType x, DType w) {
  if (!is_small_integer(x)) return x;
  return dtype_bits(x) == 8 && dtype_bits(w) == 8 ? DType::kI32 : DType::kI64;
}

Status check_operands(const ValueInfo& x, const ValueInfo& w, int64_t x_zero, int64_t w_zero) {
  const bool small = is_small_integer(x.dtype) && is_small_integer(w.dtype);
  if (!small && x.dtype != w.dtype)
    return fail(Code::kUsage,
                "operands are " + std::string(dtype_name(x.dtype)) + " and " + std::string(dtype_name(w.dtype)));
  const auto in_range = [&](int64_t zero, DType t) {
    const int bits = small ? dtype_bits(t) : 0;
    const int64_t low = small && dtype_info(t).is_signed ? -(int64_t{1} << (bits - 1)) : 0;
    return small ? zero >= low && zero < low + (int64_t{1} << bits) : zero == 0;
  };
  for (const auto& [zero, type] : {std::pair{x_zero, x.dtype}, std::pair{w_zero, w.dtype}})
    if (!in_range(zero, type))
      return fail(Code::kUsage, "zero point " + std::to_string(zero) + " is out of range for " +
                                    std::string(dtype_name(type)) + " operands");
  return {};
}

Tensor centred(const Tensor& x, int64_t zero) {
  Tensor y = Tensor::zeros(DType::kI64, x.dims());
  const auto to = y.mutable_as<int64_t>();
  with_type(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const std::byte* from = x.bytes().data();
    for (size_t i = 0; i < to.size(); ++i) {
      T v{};
      std::memcpy(&v, from + i * sizeof(T), sizeof(T));
      to[i] = static_cast<int64_t>(v) - zero;
    }
  });
  return y;
}

Tensor wrapped(const Tensor& sums, DType type) {
  if (type == DType::kI64) return sums;
  Tensor y = Tensor::zeros(type, sums.dims());
  if (dtype_bits(type) == 64) {
    std::ranges::copy(sums.bytes(), y.mutable_bytes().begin());
    return y;
  }
  const auto from = sums.as<int64_t>();
  const auto to = y.mutable_as<int32_t>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<int32_t>(static_cast<uint32_t>(from[i]));
  return y;
}

}  // namespace lathe::ops
