// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lathe {

/// A constant or the argument of a reference evaluation: dtype, integer shape, row-major data. The bytes are shared
/// and immutable once made (copying a Tensor copies a pointer); they may lie in a mapped model file, so they need not
/// be aligned beyond the element size. 4-bit types hold two values a byte, 2-bit types four, low bits first.
class Tensor {
 public:
  Tensor() = default;
  /// Zero-filled, owned; write through mutable_as() before sharing it.
  static Tensor zeros(DType dtype, std::vector<int64_t> dims);
  /// Refers to `data` (dtype_bytes(dtype, count) bytes), which `owner` keeps alive.
  static Tensor view(DType dtype, std::vector<int64_t> dims, const std::byte* data, std::shared_ptr<const void> owner);
  template <class T>
  static Tensor of(DType dtype, std::vector<int64_t> dims, std::span<const T> values) {
    Tensor t = zeros(dtype, std::move(dims));
    std::copy(values.begin(), values.end(), t.mutable_as<T>().begin());
    return t;
  }
  static Tensor scalar_f32(float v) { return of<float>(DType::kF32, {}, {&v, 1}); }
  static Tensor scalar_i64(int64_t v) { return of<int64_t>(DType::kI64, {}, {&v, 1}); }
  static Tensor vector_i64(const std::vector<int64_t>& v) {
    return of<int64_t>(DType::kI64, {static_cast<int64_t>(v.size())}, std::span<const int64_t>(v));
  }

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const std::vector<int64_t>& dims() const { return dims_; }
  [[nodiscard]] int64_t count() const;
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] bool empty() const { return data_ == nullptr && strings_ == nullptr; }
  /// Same bytes under another shape of the same element count.
  [[nodiscard]] Tensor reshaped(std::vector<int64_t> dims) const;

  /// Elements; T must have the dtype's size and the data be aligned for it (zeros() and aligned views are).
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    return {reinterpret_cast<const T*>(data_), size_ / sizeof(T)};
  }
  template <class T>
  [[nodiscard]] std::span<T> mutable_as() {
    return {reinterpret_cast<T*>(owned_), size_ / sizeof(T)};
  }
  [[nodiscard]] std::span<std::byte> mutable_bytes() { return {owned_, size_}; }
  /// Element i as a double / as an integer, whatever the (non-string) dtype; a conversion, for small tensors.
  [[nodiscard]] double f64_at(int64_t i) const;
  [[nodiscard]] int64_t i64_at(int64_t i) const;
  [[nodiscard]] std::vector<int64_t> to_i64() const;
  /// All elements as f32 (exact for f32, converted otherwise).
  [[nodiscard]] std::vector<float> to_f32() const;
  /// Stores `v` converted to the dtype (saturating for integers); only on tensors made by zeros().
  void set(int64_t i, double v);
  void set_i64(int64_t i, int64_t v);

  static Tensor of_strings(std::vector<int64_t> dims, std::vector<std::string> values);
  [[nodiscard]] const std::vector<std::string>& strings() const { return *strings_; }

 private:
  DType dtype_ = DType::kUndefined;
  std::vector<int64_t> dims_;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
  std::byte* owned_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<const std::vector<std::string>> strings_;
};

/// Element i of packed data in a byte, extended by its sign; stores the low bits of `value` as element i.
uint8_t packed_at(DType t, const std::byte* data, int64_t i);
void set_packed(DType t, std::byte* data, int64_t i, uint8_t value);

/// IEEE half and bfloat16 conversions, round to nearest even.
float half_to_float(uint16_t h);
uint16_t float_to_half(float f);
float bf16_to_float(uint16_t b);
uint16_t float_to_bf16(float f);

}  // namespace lathe
