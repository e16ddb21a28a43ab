// SPDX-License-Identifier: Apache-2.0
#include "cli/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>

namespace lathe::cli {
namespace {

static_assert(std::endian::native == std::endian::little);

struct NumpyType {
  DType type;
  std::string_view name, storage;  ///< storage: kind and size of the npy descr
};
constexpr NumpyType kTypes[] = {
    {DType::kF32, "float32", "f4"},
    {DType::kU8, "uint8", "u1"},
    {DType::kI8, "int8", "i1"},
    {DType::kU16, "uint16", "u2"},
    {DType::kI16, "int16", "i2"},
    {DType::kI32, "int32", "i4"},
    {DType::kI64, "int64", "i8"},
    {DType::kBool, "bool", "b1"},
    {DType::kF16, "float16", "f2"},
    {DType::kF64, "float64", "f8"},
    {DType::kU32, "uint32", "u4"},
    {DType::kU64, "uint64", "u8"},
    {DType::kC64, "complex64", "c8"},
    {DType::kC128, "complex128", "c16"},
    {DType::kBF16, "bfloat16", "u2"},
    {DType::kF8E4M3FN, "float8_e4m3fn", "u1"},
    {DType::kF8E4M3FNUZ, "float8_e4m3fnuz", "u1"},
    {DType::kF8E5M2, "float8_e5m2", "u1"},
    {DType::kF8E5M2FNUZ, "float8_e5m2fnuz", "u1"},
    {DType::kU4, "uint4", "u1"},
    {DType::kI4, "int4", "i1"},
    {DType::kF4E2M1, "float4_e2m1fn", "u1"},
    {DType::kF8E8M0, "float8_e8m0fnu", "u1"},
    {DType::kU2, "uint2", "u1"},
    {DType::kI2, "int2", "i1"},
    {DType::kString, "str", ""},
};

const NumpyType* find_type(DType type) {
  const auto* it = std::ranges::find(kTypes, type, &NumpyType::type);
  return it == std::end(kTypes) ? nullptr : it;
}

/// Kind and size of a descr, "f4" of "<f4".
std::string_view kind_and_size(std::string_view descr) {
  if (!descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos) descr.remove_prefix(1);
  return descr;
}

/// Bytes of an element, or nothing if the descr is none that we read.
std::optional<int64_t> item_size(std::string_view descr) {
  const std::string_view s = kind_and_size(descr);
  int64_t size = 0;
  if (s.size() < 2 || std::string_view("fuibcVSU").find(s[0]) == std::string_view::npos) return std::nullopt;
  const auto [end, error] = std::from_chars(s.data() + 1, s.data() + s.size(), size);
  if (error != std::errc() || end != s.data() + s.size() || size <= 0 || size > (1 << 20)) return std::nullopt;
  return s[0] == 'U' ? size * 4 : size;
}

/// Reads the Python dictionary that is an npy header: three known keys, literals only.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : s_(text) {}

  std::optional<NpyHeader> parse() {
    NpyHeader header;
    int seen = 0;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const auto key = quoted();
      if (!key || !take(':')) return std::nullopt;
      if (*key == "descr") {
        const auto descr = quoted();
        if (!descr) return std::nullopt;
        header.descr = *descr;
        seen |= 1;
      } else if (*key == "fortran_order") {
        if (word("True"))
          header.fortran_order = true;
        else if (!word("False"))
          return std::nullopt;
        seen |= 2;
      } else if (*key == "shape") {
        if (!shape(header.dims)) return std::nullopt;
        seen |= 4;
      } else {
        return std::nullopt;
      }
      if (!take(',')) {
        if (!take('}')) return std::nullopt;
        break;
      }
    }
    space();
    if (seen != 7 || !s_.empty()) return std::nullopt;
    return header;
  }

 private:
  void space() { s_.remove_prefix(std::min(s_.find_first_not_of(" \t\r\n"), s_.size())); }
  bool take(char c) {
    space();
    if (s_.empty() || s_[0] != c) return false;
    s_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view w) {
    space();
    if (!s_.starts_with(w)) return false;
    s_.remove_prefix(w.size());
    return true;
  }
  std::optional<std::string> quoted() {
    space();
    if (s_.empty() || (s_[0] != '\'' && s_[0] != '"')) return std::nullopt;
    const size_t end = s_.find(s_[0], 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string out(s_.substr(1, end - 1));
    s_.remove_prefix(end + 1);
    return out;
  }
  bool shape(std::vector<int64_t>& dims) {
    constexpr size_t kMaxRank = 64;
    if (!take('(')) return false;
    while (!take(')')) {
      space();
      int64_t n = 0;
      const auto [end, error] = std::from_chars(s_.data(), s_.data() + s_.size(), n);
      if (error != std::errc() || n < 0 || dims.size() == kMaxRank) return false;
      s_.remove_prefix(static_cast<size_t>(end - s_.data()));
      word("L");  // Python 2 wrote long integers so
      dims.push_back(n);
      if (!take(',')) {
        if (!take(')')) return false;
        break;
      }
    }
    return true;
  }

  std::string_view s_;
};

std::optional<int64_t> checked_bytes(std::span<const int64_t> dims, int64_t item) {
  constexpr int64_t kLimit = int64_t{1} << 44;
  int64_t bytes = item;
  if (std::ranges::find(dims, 0) != dims.end()) return 0;
  for (const int64_t d : dims)
    if (__builtin_mul_overflow(bytes, d, &bytes) || bytes > kLimit) return std::nullopt;
  return bytes;
}

std::unexpected<Error> damaged(const std::string& where, const std::string& what) {
  return fail(Code::kDamaged, where + ": " + what);
}

Status read_exactly(const std::string& where, const ByteSource& source, std::span<std::byte> out) {
  while (!out.empty()) {
    LATHE_TRY(const size_t n, source(out));
    if (n == 0) return damaged(where, "the array ends too early");
    out = out.subspan(n);
  }
  return {};
}

Result<NpyHeader> read_header(const std::string& where, const ByteSource& source) {
  std::array<std::byte, 12> start{};
  LATHE_CHECK(read_exactly(where, source, std::span(start).first(10)));
  if (std::memcmp(start.data(), "\x93NUMPY", 6) != 0) return damaged(where, "not a numpy array (npy)");
  const int version = std::to_integer<int>(start[6]);
  if (version < 1 || version > 3) return damaged(where, fmt::format("npy version {} is not known", version));
  size_t size = std::to_integer<size_t>(start[8]) | std::to_integer<size_t>(start[9]) << 8;
  if (version >= 2) {
    LATHE_CHECK(read_exactly(where, source, std::span(start).subspan(10, 2)));
    size |= std::to_integer<size_t>(start[10]) << 16 | std::to_integer<size_t>(start[11]) << 24;
  }
  constexpr size_t kMaxHeader = 1 << 16;
  if (size > kMaxHeader) return damaged(where, "the npy header is unreasonably long");
  std::string text(size, '\0');
  LATHE_CHECK(read_exactly(where, source, std::as_writable_bytes(std::span(text))));
  auto header = HeaderParser(text).parse();
  if (!header) return damaged(where, "the npy header is malformed, or the array has fields");
  return *std::move(header);
}

/// In place, `size` bytes a number.
void swap_bytes(std::span<std::byte> data, size_t size) {
  for (size_t i = 0; i + size <= data.size(); i += size) std::ranges::reverse(data.subspan(i, size));
}

std::vector<std::byte> fortran_to_c(std::span<const std::byte> in, std::span<const int64_t> dims, size_t item) {
  std::vector<std::byte> out(in.size());
  std::vector<int64_t> index(dims.size(), 0), stride(dims.size(), 1);
  for (size_t i = 1; i < dims.size(); ++i) stride[i] = stride[i - 1] * dims[i - 1];
  int64_t from = 0;
  for (size_t to = 0; to < out.size(); to += item) {
    std::memcpy(out.data() + to, in.data() + static_cast<size_t>(from) * item, item);
    for (size_t d = dims.size(); d-- > 0;) {
      from += stride[d];
      if (++index[d] < dims[d]) break;
      from -= stride[d] * dims[d];
      index[d] = 0;
    }
  }
  return out;
}

void to_native_order(NpyArray& array, size_t item) {
  const std::string_view descr = array.header.descr;
  const char kind = kind_and_size(descr)[0];
  if (descr[0] == '>') swap_bytes(array.data, kind == 'c' ? item / 2 : kind == 'U' ? 4 : item);
  if (array.header.fortran_order && array.header.dims.size() > 1)
    array.data = fortran_to_c(array.data, array.header.dims, item);
}

}  // namespace

std::string_view numpy_name(DType type) {
  const NumpyType* t = find_type(type);
  return t ? t->name : "undefined";
}

std::string describe_descr(std::string_view descr) {
  const std::string_view s = kind_and_size(descr);
  const auto* it = std::ranges::find(kTypes, s, &NumpyType::storage);
  if (it != std::end(kTypes)) return std::string(it->name);
  return s.starts_with('U') ? "str" : s.starts_with('S') ? "bytes" : s == "O" ? "object" : std::string(descr);
}

std::string numpy_storage(DType type) {
  const NumpyType* t = find_type(type);
  return t && !t->storage.empty() ? describe_descr(t->storage) : "str";
}

std::string shape_text(std::span<const int64_t> dims) {
  return dims.empty() ? "scalar" : fmt::format("{}", fmt::join(dims, "x"));
}

Result<NpyArray> read_npy(const std::string& where, const ByteSource& source, const HeaderCheck& check) {
  NpyArray array;
  LATHE_TRY(array.header, read_header(where, source));
  if (kind_and_size(array.header.descr).starts_with('O'))
    return fail(Code::kUsage, where + ": object arrays are not read, since they can hold code; store plain numbers");
  const auto item = item_size(array.header.descr);
  if (!item) return fail(Code::kUsage, where + ": arrays of type \"" + array.header.descr + "\" are not read");
  const auto bytes = checked_bytes(array.header.dims, *item);
  if (!bytes) return damaged(where, "the array's shape " + shape_text(array.header.dims) + " is too large");
  if (check) LATHE_CHECK(check(array.header));

  // Memory grows as data arrives: a short file cannot ask for a large allocation.
  constexpr size_t kStep = size_t{16} << 20;
  const size_t total = static_cast<size_t>(*bytes);
  while (array.data.size() < total) {
    const size_t have = array.data.size();
    array.data.resize(std::min(total, have + std::max(kStep, have)));
    LATHE_CHECK(read_exactly(where, source, std::span(array.data).subspan(have)));
  }
  std::byte more{};
  LATHE_TRY(const size_t left, source({&more, 1}));  // also makes a zip reader compare the checksum
  if (left != 0) return damaged(where, "the array is longer than its header says");
  to_native_order(array, static_cast<size_t>(*item));
  return array;
}

Status check_type(const NpyHeader& header, DType type) {
  const NumpyType* want = find_type(type);
  const std::string_view got = kind_and_size(header.descr);
  if (want && !want->storage.empty()) {
    if (got == want->storage) return {};
    // ml_dtypes arrays are saved as raw bytes of the element's size.
    if (got.starts_with('V') && got.substr(1) == want->storage.substr(1) && want->name != describe_descr(want->storage))
      return {};
  }
  std::string expected(numpy_name(type));
  if (const std::string storage = numpy_storage(type); storage != expected) expected += " (stored as " + storage + ")";
  return fail(Code::kUsage, fmt::format("expects {}, got {}", expected, describe_descr(header.descr)));
}

Result<Tensor> to_tensor(NpyArray array, DType type) {
  Tensor tensor{type, std::move(array.header.dims), std::move(array.data)};
  if (!dtype_packed(type)) return tensor;
  const int bits = dtype_bits(type), each = 8 / bits;
  std::vector<std::byte> packed((tensor.data.size() + static_cast<size_t>(each) - 1) / static_cast<size_t>(each));
  const bool sign = dtype_info(type).is_int && dtype_info(type).is_signed;
  const int low = sign ? -(1 << (bits - 1)) : 0, high = low + (1 << bits) - 1;
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    const int raw = std::to_integer<int>(tensor.data[i]);
    const int value = sign ? static_cast<int8_t>(raw) : raw;
    if (value < low || value > high)
      return fail(Code::kUsage,
                  fmt::format("value {} is outside {}'s range [{}, {}]", value, numpy_name(type), low, high));
    packed[i / static_cast<size_t>(each)] |=
        static_cast<std::byte>((value & ((1 << bits) - 1)) << (bits * static_cast<int>(i % static_cast<size_t>(each))));
  }
  tensor.data = std::move(packed);
  return tensor;
}

std::vector<std::byte> write_npy(const Tensor& tensor) {
  const NumpyType* t = find_type(tensor.dtype);
  const std::string_view storage = t && !t->storage.empty() ? t->storage : "u1";
  const bool one_byte = storage.substr(1) == "1";
  std::string header =
      fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}", one_byte ? '|' : '<', storage,
                  fmt::join(tensor.dims, ", "), tensor.dims.size() == 1 ? "," : "");
  // Data begins at a multiple of 64; the header ends with a line feed.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string start = "\x93NUMPY";
  start += {'\1', '\0', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  start += header;

  std::vector<std::byte> out(start.size());
  std::memcpy(out.data(), start.data(), start.size());
  if (!dtype_packed(tensor.dtype)) {
    out.insert(out.end(), tensor.data.begin(), tensor.data.end());
    return out;
  }
  int64_t count = 1;
  for (const int64_t d : tensor.dims) count *= d;
  const int bits = dtype_bits(tensor.dtype), each = 8 / bits;
  const bool sign = dtype_info(tensor.dtype).is_int && dtype_info(tensor.dtype).is_signed;
  for (int64_t i = 0; i < count; ++i) {
    const auto byte = std::to_integer<int>(tensor.data[static_cast<size_t>(i / each)]);
    int value = (byte >> (bits * static_cast<int>(i % each))) & ((1 << bits) - 1);
    if (sign && value >> (bits - 1)) value -= 1 << bits;
    out.push_back(static_cast<std::byte>(value));
  }
  return out;
}

}  // namespace lathe::cli
