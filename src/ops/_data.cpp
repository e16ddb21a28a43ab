// SPDX-License-Identifier: Apache-2.0
#include "ops/_data.h"

namespace lathe::ops {

std::vector<int64_t> strides_of(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t d = dims.size(); d-- > 1;) strides[d - 1] = strides[d] * dims[d];
  return strides;
}

int64_t count_of(std::span<const int64_t> dims) {
  int64_t n = 1;
  for (const int64_t d : dims) n *= d;
  return n;
}

Elements::Elements(DType dtype, std::vector<int64_t> dims) : dtype_(dtype), dims_(std::move(dims)) {
  if (dtype == DType::kString) {
    strings_.resize(static_cast<size_t>(count_of(dims_)));
    return;
  }
  tensor_ = Tensor::zeros(dtype, dims_);
  to_ = tensor_.mutable_bytes().data();
  if (dtype_bits(dtype) % 8 == 0) width_ = dtype_bits(dtype) / 8;
}

Elements::Elements(const Tensor& copy_of) : Elements(copy_of.dtype(), copy_of.dims()) {
  if (dtype_ == DType::kString)
    strings_ = copy_of.strings();
  else if (!copy_of.bytes().empty())
    std::memcpy(to_, copy_of.bytes().data(), copy_of.bytes().size());
}

void Elements::put_odd(int64_t i, const Tensor& from, int64_t j) {
  if (dtype_ == DType::kString) {
    strings_[static_cast<size_t>(i)] = from.strings()[static_cast<size_t>(j)];
    return;
  }
  set_packed(dtype_, to_, i, packed_at(dtype_, from.bytes().data(), j));
}

Tensor Elements::take() {
  return dtype_ == DType::kString ? Tensor::of_strings(std::move(dims_), std::move(strings_)) : std::move(tensor_);
}

Tensor convert(const Tensor& x, DType to) {
  if (x.dtype() == to) return x;
  Tensor y = Tensor::zeros(to, x.dims());
  for (int64_t i = 0, n = x.count(); i < n; ++i) y.set(i, x.f64_at(i));
  return y;
}

std::vector<Tensor> widened(std::span<const Tensor> inputs) {
  std::vector<Tensor> wide;
  for (const Tensor& t : inputs) wide.push_back(convert(t, compute_type(t.dtype())));
  return wide;
}

Status check_inputs(std::span<const ValueInfo> inputs, size_t required, size_t most) {
  if (inputs.size() < required || inputs.size() > most)
    return fail(Code::kUsage, "takes " + std::to_string(required) +
                                  (most == required ? ""
                                   : most > 1000    ? " or more"
                                                    : " to " + std::to_string(most)) +
                                  " inputs, not " + std::to_string(inputs.size()));
  for (size_t i = 0; i < required; ++i)
    if (inputs[i].dtype == DType::kUndefined) return fail(Code::kUsage, "input " + std::to_string(i) + " is missing");
  return {};
}

Status check_axis(int64_t axis, int64_t rank) {
  if (axis >= 0 && axis < rank) return {};
  return fail(Code::kUsage, "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
}

Result<int64_t> checked_index(const Tensor& indices, int64_t i, int64_t size) {
  const int64_t raw = indices.i64_at(i);
  if (raw < -size || raw >= size)
    return fail(Code::kUsage,
                "index " + std::to_string(raw) + " is out of range for a dimension of " + std::to_string(size));
  return raw < 0 ? raw + size : raw;
}

}  // namespace lathe::ops
