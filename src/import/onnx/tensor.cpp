// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/tensor.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "import/builder.h"

namespace lathe::onnx {

namespace {

std::optional<uint64_t> number(std::string_view s) {
  uint64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  return error == std::errc() && end == s.data() + s.size() ? std::optional(v) : std::nullopt;
}

template <class T, class From>
Tensor typed(DType dtype, const std::vector<int64_t>& dims, const std::vector<From>& from) {
  Tensor t = Tensor::zeros(dtype, dims);
  std::ranges::transform(from, t.mutable_as<T>().begin(), [](From v) { return static_cast<T>(v); });
  return t;
}

// Data in the typed fields; empty if it is not `count` elements.
std::optional<Tensor> from_fields(const proto::Tensor& t, DType dtype, size_t count) {
  switch (dtype) {
    case DType::kF32:
      if (t.floats.size() != count) return std::nullopt;
      return typed<float>(dtype, t.dims, t.floats);
    case DType::kF64:
      if (t.doubles.size() != count) return std::nullopt;
      return typed<double>(dtype, t.dims, t.doubles);
    case DType::kC64: {
      if (t.floats.size() != 2 * count) return std::nullopt;
      Tensor c = Tensor::zeros(dtype, t.dims);
      std::ranges::copy(t.floats, c.mutable_as<float>().begin());
      return c;
    }
    case DType::kC128: {
      if (t.doubles.size() != 2 * count) return std::nullopt;
      Tensor c = Tensor::zeros(dtype, t.dims);
      std::ranges::copy(t.doubles, c.mutable_as<double>().begin());
      return c;
    }
    default:
      break;
  }
  const int bits = dtype_bits(dtype);
  if (dtype_packed(dtype)) {  // one byte of several values in each int32
    Tensor p = Tensor::zeros(dtype, t.dims);
    const auto bytes = p.mutable_bytes();
    if (t.ints.size() != bytes.size()) return std::nullopt;
    std::ranges::transform(t.ints, bytes.begin(), [](int64_t v) { return static_cast<std::byte>(v & 255); });
    return p;
  }
  if (t.ints.size() != count) return std::nullopt;
  switch (bits) {
    case 8:
      return typed<uint8_t>(dtype, t.dims, t.ints);
    case 16:
      return typed<uint16_t>(dtype, t.dims, t.ints);
    case 32:
      return typed<uint32_t>(dtype, t.dims, t.ints);
    default:
      return typed<uint64_t>(dtype, t.dims, t.ints);
  }
}

}  // namespace

Result<Tensor> TensorReader::read(const proto::Tensor& t) {
  const std::string what = "tensor \"" + std::string(t.name) + "\"";
  if (t.data_type < 0 || !dtype_valid(static_cast<uint64_t>(t.data_type)))
    return fail(Code::kDamaged, what + ": unknown element type " + std::to_string(t.data_type));
  const auto dtype = static_cast<DType>(t.data_type);
  if (t.dims.size() > 32) return fail(Code::kUnsupported, what + ": rank above 32");
  if (std::ranges::any_of(t.dims, [](int64_t d) { return d < 0; }))
    return fail(Code::kDamaged, what + ": negative dimension");
  const auto bytes = importer::checked_bytes(dtype, t.dims, max_bytes_);
  if (!bytes) return fail(Code::kDamaged, what + ": dimensions give an impossible size");
  if (t.external) return read_external(t, dtype, *bytes);
  size_t count = 1;
  for (const int64_t d : t.dims) count *= static_cast<size_t>(d);
  if (dtype == DType::kString) {
    if (t.strings.size() != count)
      return fail(Code::kDamaged, what + ": " + std::to_string(t.strings.size()) + " strings for " +
                                      std::to_string(count) + " elements");
    return Tensor::of_strings(t.dims, {t.strings.begin(), t.strings.end()});
  }
  if (t.has_raw) {
    if (t.raw.size() != *bytes)
      return fail(Code::kDamaged, what + ": holds " + std::to_string(t.raw.size()) + " bytes, its shape needs " +
                                      std::to_string(*bytes));
    return importer::tensor_over(dtype, t.dims, t.raw, model_.owner);
  }
  const size_t stored = t.floats.size() + t.doubles.size() + t.ints.size();
  if (count > 4 * stored)
    return fail(Code::kDamaged,
                what + ": " + std::to_string(stored) + " values for " + std::to_string(count) + " elements");
  auto r = from_fields(t, dtype, count);
  if (!r)
    return fail(Code::kDamaged,
                what + ": " + std::to_string(stored) + " values for " + std::to_string(count) + " elements");
  return *std::move(r);
}

Result<Tensor> TensorReader::read_external(const proto::Tensor& t, DType dtype, size_t bytes) {
  const std::string what = "external data of tensor \"" + std::string(t.name) + "\"";
  std::string_view location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  for (const auto& [key, value] : t.external_data) {
    if (key == "location") location = value;
    if (key != "offset" && key != "length") continue;
    const auto v = number(value);
    if (!v)
      return fail(Code::kDamaged, what + ": " + std::string(key) + " \"" + std::string(value) + "\" is not a number");
    if (key == "offset")
      offset = *v;
    else
      length = *v;
  }
  const std::filesystem::path relative(location);
  const bool escapes =
      relative.is_absolute() || std::ranges::any_of(relative, [](const auto& part) { return part == ".."; });
  if (location.empty() || escapes || location.find('\0') != std::string_view::npos)
    return fail(Code::kDamaged,
                what + ": location \"" + std::string(location) + "\" is not a file inside the model's folder");
  if (dtype == DType::kString) return fail(Code::kDamaged, what + ": strings cannot be external");
  auto found = files_.find(location);
  if (found == files_.end()) {
    auto file = map_file((std::filesystem::path(folder_) / relative).string());
    if (!file) return fail(Code::kDamaged, what + ": " + file.error().message);
    found = files_.emplace(std::string(location), *std::move(file)).first;
  }
  const FileBytes& file = found->second;
  if (length && *length != bytes)
    return fail(Code::kDamaged, what + ": length is " + std::to_string(*length) + ", its shape needs " +
                                    std::to_string(bytes) + " bytes");
  if (offset > file.bytes.size() || bytes > file.bytes.size() - offset)
    return fail(Code::kDamaged, what + ": bytes " + std::to_string(offset) + " to " + std::to_string(offset) + "+" +
                                    std::to_string(bytes) + " lie beyond the end of " + std::string(location) + " (" +
                                    std::to_string(file.bytes.size()) + " bytes)");
  return importer::tensor_over(dtype, t.dims, file.bytes.substr(offset, bytes), file.owner);
}

}  // namespace lathe::onnx
