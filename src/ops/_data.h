// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "ir/op.h"

namespace lathe::ops {

/// Row-major strides, in elements.
std::vector<int64_t> strides_of(const std::vector<int64_t>& dims);
int64_t count_of(std::span<const int64_t> dims);

/// Visits every index of `dims` in row-major order: f(index, linear).
template <class F>
void for_each_index(const std::vector<int64_t>& dims, F&& f) {
  const int64_t n = count_of(dims);
  std::vector<int64_t> index(dims.size(), 0);
  for (int64_t linear = 0; linear < n; ++linear) {
    f(std::as_const(index), linear);
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < dims[d]) break;
      index[d] = 0;
    }
  }
}

/// A tensor that is filled element by element from others of its dtype, whatever that is (4-bit types and strings
/// included). Elements never put are zero.
class Elements {
 public:
  Elements(DType dtype, std::vector<int64_t> dims);
  explicit Elements(const Tensor& copy_of);
  void put(int64_t i, const Tensor& from, int64_t j) {
    if (width_ > 0)
      std::memcpy(to_ + i * width_, from.bytes().data() + j * width_, static_cast<size_t>(width_));
    else
      put_odd(i, from, j);
  }
  Tensor take();

 private:
  void put_odd(int64_t i, const Tensor& from, int64_t j);
  DType dtype_;
  std::vector<int64_t> dims_;
  Tensor tensor_;
  std::byte* to_ = nullptr;
  int64_t width_ = 0;  ///< bytes; 0: strings and 4-bit types
  std::vector<std::string> strings_;
};

/// out[i] = x[source(index, i)]; a negative source leaves zero.
template <class F>
Tensor remap(const Tensor& x, std::vector<int64_t> dims, F&& source) {
  Elements out(x.dtype(), dims);
  for_each_index(dims, [&](const std::vector<int64_t>& index, int64_t i) {
    const int64_t j = source(index, i);
    if (j >= 0) out.put(i, x, j);
  });
  return out.take();
}

/// Calls f with a value of the C type that stores `t`; false for types without one (half floats, 4-bit, strings …).
template <class F>
bool with_type(DType t, F&& f) {
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

/// Half floats are computed in f32: the dtype to compute in.
constexpr DType compute_type(DType t) { return t == DType::kF16 || t == DType::kBF16 ? DType::kF32 : t; }
/// Element by element conversion through double.
Tensor convert(const Tensor& x, DType to);
/// The inputs with half floats converted to f32 (others untouched).
std::vector<Tensor> widened(std::span<const Tensor> inputs);

/// Checks the number of inputs and that the first `required` are there.
Status check_inputs(std::span<const ValueInfo> inputs, size_t required, size_t most);
/// True if optional input i is given.
template <class T>
bool has(std::span<const T> inputs, size_t i) {
  if constexpr (std::is_same_v<T, Tensor>)
    return i < inputs.size() && !(inputs[i].dtype() == DType::kUndefined);
  else
    return i < inputs.size() && inputs[i].dtype != DType::kUndefined;
}
/// `axis` is in [0, rank).
Status check_axis(int64_t axis, int64_t rank);
/// Element i of a tensor of indices into a dimension of `size`, negative ones counted from the end.
Result<int64_t> checked_index(const Tensor& indices, int64_t i, int64_t size);
/// One output.
inline std::vector<ValueInfo> one(DType dtype, Shape shape) {
  return {ValueInfo{dtype, std::move(shape), nullptr, {}}};
}
inline std::vector<Tensor> one(Tensor t) { return {std::move(t)}; }

}  // namespace lathe::ops
