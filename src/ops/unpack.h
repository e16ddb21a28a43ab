// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ir/op.h"

namespace lathe::ops {

/// The type that holds an element of a packed type in a byte of its own: i4 and i2 in i8, u4, u2 and (as its bits) f4
/// in u8. Other types are themselves.
constexpr DType unpacked_type(DType t) {
  if (!dtype_packed(t)) return t;
  return dtype_info(t).is_int && dtype_info(t).is_signed ? DType::kI8 : DType::kU8;
}

/// Elements of a packed type (i4, u4, i2, u2, f4e2m1), each in a byte of its own.
struct Unpack : OpBase<Unpack> {
  static constexpr std::string_view kName = "Unpack";
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
};

}  // namespace lathe::ops
