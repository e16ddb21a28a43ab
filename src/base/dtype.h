// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lathe {

/// Element types: storage only. The values are those of ONNX TensorProto.DataType, of the engine file and of the C ABI.
enum class DType : uint8_t {
  kUndefined = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kC64 = 14,
  kC128 = 15,
  kBF16 = 16,
  kF8E4M3FN = 17,
  kF8E4M3FNUZ = 18,
  kF8E5M2 = 19,
  kF8E5M2FNUZ = 20,
  kU4 = 21,
  kI4 = 22,
  kF4E2M1 = 23,
  kF8E8M0 = 24,
  kU2 = 25,
  kI2 = 26
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  ///< as printed in the IR's text form and on the command line
  int bits;               ///< storage bits per element (strings: 0)
  bool is_float, is_signed, is_int;
};

inline constexpr DTypeInfo kDTypes[] = {
    {DType::kUndefined, "undefined", 0, false, false, false},
    {DType::kF32, "f32", 32, true, true, false},
    {DType::kU8, "u8", 8, false, false, true},
    {DType::kI8, "i8", 8, false, true, true},
    {DType::kU16, "u16", 16, false, false, true},
    {DType::kI16, "i16", 16, false, true, true},
    {DType::kI32, "i32", 32, false, true, true},
    {DType::kI64, "i64", 64, false, true, true},
    {DType::kString, "string", 0, false, false, false},
    {DType::kBool, "bool", 8, false, false, false},
    {DType::kF16, "f16", 16, true, true, false},
    {DType::kF64, "f64", 64, true, true, false},
    {DType::kU32, "u32", 32, false, false, true},
    {DType::kU64, "u64", 64, false, false, true},
    {DType::kC64, "c64", 64, false, false, false},
    {DType::kC128, "c128", 128, false, false, false},
    {DType::kBF16, "bf16", 16, true, true, false},
    {DType::kF8E4M3FN, "f8e4m3fn", 8, true, true, false},
    {DType::kF8E4M3FNUZ, "f8e4m3fnuz", 8, true, true, false},
    {DType::kF8E5M2, "f8e5m2", 8, true, true, false},
    {DType::kF8E5M2FNUZ, "f8e5m2fnuz", 8, true, true, false},
    {DType::kU4, "u4", 4, false, false, true},
    {DType::kI4, "i4", 4, false, true, true},
    {DType::kF4E2M1, "f4e2m1", 4, true, true, false},
    {DType::kF8E8M0, "f8e8m0", 8, true, false, false},
    {DType::kU2, "u2", 2, false, false, true},
    {DType::kI2, "i2", 2, false, true, true},
};
inline constexpr int kDTypeCount = sizeof(kDTypes) / sizeof(kDTypes[0]);

constexpr bool dtype_valid(uint64_t raw) { return raw > 0 && raw < kDTypeCount; }
constexpr const DTypeInfo& dtype_info(DType t) {
  return kDTypes[static_cast<uint8_t>(t) < kDTypeCount ? static_cast<uint8_t>(t) : 0];
}
constexpr std::string_view dtype_name(DType t) { return dtype_info(t).name; }
constexpr int dtype_bits(DType t) { return dtype_info(t).bits; }
/// Types of less than a byte: packed, the first element in the lowest bits.
constexpr bool dtype_packed(DType t) { return dtype_bits(t) == 4 || dtype_bits(t) == 2; }
/// Floats of a byte and less.
constexpr bool dtype_small_float(DType t) { return dtype_info(t).is_float && dtype_bits(t) <= 8; }
/// Types that are stored but never computed in: elementwise programs cast them on the way in and out.
constexpr bool dtype_storage_only(DType t) { return dtype_packed(t) || dtype_small_float(t); }
/// Bytes of `count` elements.
constexpr int64_t dtype_bytes(DType t, int64_t count) { return (count * dtype_bits(t) + 7) / 8; }
constexpr std::optional<DType> dtype_from_name(std::string_view name) {
  for (const auto& i : kDTypes)
    if (i.name == name && i.dtype != DType::kUndefined) return i.dtype;
  return std::nullopt;
}

}  // namespace lathe
