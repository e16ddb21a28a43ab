// SPDX-License-Identifier: Apache-2.0
#include "ir/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "ir/program.h"

namespace lathe {

namespace {

template <class T>
T load(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
T saturate(double v) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(v);
  if (std::isnan(v)) return 0;
  constexpr auto lo = static_cast<double>(std::numeric_limits<T>::min());
  constexpr auto hi = static_cast<double>(std::numeric_limits<T>::max());
  if (v <= lo) return std::numeric_limits<T>::min();
  if (v >= hi) return std::numeric_limits<T>::max();
  return static_cast<T>(v);
}

// Calls f with a value of the C type that stores `t`; false if the type has none.
template <class F>
bool dispatch(DType t, F&& f) {
  switch (t) {
    case DType::kF32:
      f(float{});
      return true;
    case DType::kF64:
      f(double{});
      return true;
    case DType::kU8:
      f(uint8_t{});
      return true;
    case DType::kI8:
      f(int8_t{});
      return true;
    case DType::kU16:
      f(uint16_t{});
      return true;
    case DType::kI16:
      f(int16_t{});
      return true;
    case DType::kU32:
      f(uint32_t{});
      return true;
    case DType::kI32:
      f(int32_t{});
      return true;
    case DType::kU64:
      f(uint64_t{});
      return true;
    case DType::kI64:
      f(int64_t{});
      return true;
    case DType::kBool:
      f(uint8_t{});
      return true;
    default:
      return false;
  }
}

}  // namespace

float bf16_to_float(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

uint16_t float_to_bf16(float f) {
  const auto u = std::bit_cast<uint32_t>(f);
  if (std::isnan(f)) return static_cast<uint16_t>((u >> 16) | 0x40);
  return static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

float half_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float m = std::ldexp(static_cast<float>(mantissa), -24);
  return sign ? -m : m;
}

uint16_t float_to_half(float f) {
  const auto u = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // subnormal half: nearbyint rounds to even
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(scaled)));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

uint8_t packed_at(DType t, const std::byte* data, int64_t i) {
  const int64_t bits = dtype_bits(t), each = 8 / bits;
  const unsigned mask = (1u << bits) - 1, top = 1u << (bits - 1);
  const unsigned v = (std::to_integer<unsigned>(data[i / each]) >> (bits * (i % each))) & mask;
  return static_cast<uint8_t>(dtype_info(t).is_int && dtype_info(t).is_signed ? (v ^ top) - top : v);
}

void set_packed(DType t, std::byte* data, int64_t i, uint8_t value) {
  const int64_t bits = dtype_bits(t), each = 8 / bits, shift = bits * (i % each);
  const unsigned mask = ((1u << bits) - 1) << shift;
  std::byte& b = data[i / each];
  b = static_cast<std::byte>((std::to_integer<unsigned>(b) & ~mask) | ((static_cast<unsigned>(value) << shift) & mask));
}

namespace {

// Small floats are converted by the programs that every caster uses.
double small_float_at(DType t, const std::byte* data, int64_t i) {
  Tensor code = Tensor::zeros(t, {1});
  if (dtype_packed(t))
    set_packed(t, code.mutable_bytes().data(), 0, packed_at(t, data, i));
  else
    code.mutable_bytes()[0] = data[i];
  ProgramBuilder b;
  const Program p = b.finish(cast(b.input(t), DType::kF32));
  return static_cast<double>(evaluate_program(p, {&code, 1}, {1})->as<float>()[0]);
}

uint8_t small_float_of(DType t, double v) {
  const Tensor x = Tensor::scalar_f32(static_cast<float>(v));
  ProgramBuilder b;
  const Program p = b.finish(cast(b.input(DType::kF32), t));
  const auto y = evaluate_program(p, {&x, 1}, {});
  return std::to_integer<uint8_t>(y->bytes()[0]);
}

}  // namespace

Tensor Tensor::zeros(DType dtype, std::vector<int64_t> dims) {
  Tensor t;
  t.dtype_ = dtype;
  t.dims_ = std::move(dims);
  t.size_ = static_cast<size_t>(dtype_bytes(dtype, t.count()));
  // 64-byte slack and alignment: kernels and vectorised loops may read past the end.
  auto* p = static_cast<std::byte*>(::operator new(t.size_ + 64, std::align_val_t{64}));
  std::memset(p, 0, t.size_ + 64);
  t.owner_ = std::shared_ptr<const void>(
      p, [](const void* q) { ::operator delete(const_cast<void*>(q), std::align_val_t{64}); });
  t.owned_ = p;
  t.data_ = p;
  return t;
}

Tensor Tensor::view(DType dtype, std::vector<int64_t> dims, const std::byte* data, std::shared_ptr<const void> owner) {
  Tensor t;
  t.dtype_ = dtype;
  t.dims_ = std::move(dims);
  t.size_ = static_cast<size_t>(dtype_bytes(dtype, t.count()));
  t.data_ = data;
  t.owner_ = std::move(owner);
  return t;
}

Tensor Tensor::of_strings(std::vector<int64_t> dims, std::vector<std::string> values) {
  Tensor t;
  t.dtype_ = DType::kString;
  t.dims_ = std::move(dims);
  t.strings_ = std::make_shared<const std::vector<std::string>>(std::move(values));
  return t;
}

int64_t Tensor::count() const {
  int64_t n = 1;
  for (const int64_t d : dims_) n *= d;
  return n;
}

Tensor Tensor::reshaped(std::vector<int64_t> dims) const {
  Tensor t = *this;
  t.dims_ = std::move(dims);
  return t;
}

double Tensor::f64_at(int64_t i) const {
  const auto n = static_cast<size_t>(i);
  switch (dtype_) {
    case DType::kF16:
      return half_to_float(load<uint16_t>(data_ + 2 * n));
    case DType::kBF16:
      return bf16_to_float(load<uint16_t>(data_ + 2 * n));
    case DType::kU4:
    case DType::kU2:
      return packed_at(dtype_, data_, i);
    case DType::kI4:
    case DType::kI2:
      return static_cast<int8_t>(packed_at(dtype_, data_, i));
    default:
      break;
  }
  if (dtype_small_float(dtype_)) return small_float_at(dtype_, data_, i);
  double v = std::numeric_limits<double>::quiet_NaN();
  dispatch(dtype_, [&](auto tag) { v = static_cast<double>(load<decltype(tag)>(data_ + sizeof(tag) * n)); });
  return v;
}

int64_t Tensor::i64_at(int64_t i) const {
  if (dtype_info(dtype_).is_float || dtype_packed(dtype_)) return saturate<int64_t>(f64_at(i));
  int64_t v = 0;
  dispatch(dtype_, [&](auto tag) {
    v = static_cast<int64_t>(load<decltype(tag)>(data_ + sizeof(tag) * static_cast<size_t>(i)));
  });
  return v;
}

std::vector<int64_t> Tensor::to_i64() const {
  std::vector<int64_t> v(static_cast<size_t>(count()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = i64_at(static_cast<int64_t>(i));
  return v;
}

std::vector<float> Tensor::to_f32() const {
  std::vector<float> v(static_cast<size_t>(count()));
  if (dtype_ == DType::kF32)
    std::memcpy(v.data(), data_, size_);
  else
    for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(f64_at(static_cast<int64_t>(i)));
  return v;
}

void Tensor::set(int64_t i, double v) {
  const auto n = static_cast<size_t>(i);
  if (dtype_ == DType::kF16 || dtype_ == DType::kBF16) {
    const auto f = static_cast<float>(v);
    mutable_as<uint16_t>()[n] = dtype_ == DType::kF16 ? float_to_half(f) : float_to_bf16(f);
  } else if (dtype_ == DType::kBool) {
    mutable_as<uint8_t>()[n] = v != 0;
  } else if (dtype_small_float(dtype_)) {
    const uint8_t code = small_float_of(dtype_, v);
    if (dtype_packed(dtype_))
      set_packed(dtype_, owned_, i, code);
    else
      owned_[n] = std::byte{code};
  } else if (dtype_packed(dtype_)) {
    set_packed(dtype_, owned_, i, static_cast<uint8_t>(saturate<int8_t>(v)));
  } else {
    dispatch(dtype_, [&](auto tag) { mutable_as<decltype(tag)>()[n] = saturate<decltype(tag)>(v); });
  }
}

void Tensor::set_i64(int64_t i, int64_t v) {
  if (dtype_info(dtype_).is_int && !dtype_packed(dtype_))
    dispatch(dtype_,
             [&](auto tag) { mutable_as<decltype(tag)>()[static_cast<size_t>(i)] = static_cast<decltype(tag)>(v); });
  else
    set(i, static_cast<double>(v));
}

}  // namespace lathe
