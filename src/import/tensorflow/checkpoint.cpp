// SPDX-License-Identifier: Apache-2.0
#include "import/tensorflow/checkpoint.h"

#include <fmt/format.h>
#include <array>
#include <cstring>

#include "import/builder.h"

namespace lathe::tensorflow {

namespace {

// TensorFlow's DataType, in its order from 1 on.
constexpr DType kTypes[] = {
    DType::kF32,       DType::kF64,    DType::kI32,       DType::kU8,     DType::kI16,
    DType::kI8,        DType::kString, DType::kUndefined, DType::kI64,    DType::kBool,
    DType::kI8,        DType::kU8,     DType::kI32,       DType::kBF16,   DType::kI16,
    DType::kU16,       DType::kU16,    DType::kUndefined, DType::kF16,    DType::kUndefined,
    DType::kUndefined, DType::kU32,    DType::kU64,       DType::kF8E5M2, DType::kF8E4M3FN,
};
constexpr int64_t kComplex64 = 8, kComplex128 = 18, kReference = 100;

constexpr size_t kMaxKey = 16384, kMaxTable = size_t{1} << 28;

std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

// Eight tables, so that eight bytes are taken in a step.
struct CrcTables {
  std::array<std::array<uint32_t, 256>, 8> t{};
  constexpr CrcTables() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78u : 0u);
      t[0][i] = c;
    }
    for (size_t k = 1; k < 8; ++k)
      for (size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 255];
  }
};
constexpr CrcTables kCrc;

uint32_t crc32c(std::string_view bytes) {
  uint32_t c = ~uint32_t{0};
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t w = 0;
    std::memcpy(&w, bytes.substr(i).data(), 8);
    w ^= c;
    c = 0;
    for (size_t k = 0; k < 8; ++k) c ^= kCrc.t[7 - k][(w >> (8 * k)) & 255];
  }
  for (; i < bytes.size(); ++i) c = (c >> 8) ^ kCrc.t[0][(c ^ static_cast<unsigned char>(bytes[i])) & 255];
  return ~c;
}

/// Takes numbers and pieces from the front of some bytes.
struct Cursor {
  std::string_view rest;
  std::optional<uint64_t> varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest[0]);
      rest.remove_prefix(1);
      v |= static_cast<uint64_t>(byte & 127u) << shift;
      if (byte < 128) return v;
    }
    return std::nullopt;
  }
  std::optional<std::string_view> take(uint64_t n) {
    if (n > rest.size()) return std::nullopt;
    const auto piece = rest.substr(0, n);
    rest.remove_prefix(n);
    return piece;
  }
};

uint32_t fixed32(std::string_view bytes) {
  uint32_t v = 0;
  std::memcpy(&v, bytes.data(), 4);
  return v;
}

// Google's snappy format: literals, and copies of what was already written.
std::optional<std::string> unsnap(std::string_view bytes) {
  Cursor in{bytes};
  const auto size = in.varint();
  if (!size || *size > kMaxTable) return std::nullopt;
  std::string out;
  while (!in.rest.empty()) {
    const auto tag = static_cast<unsigned char>(in.rest[0]);
    in.rest.remove_prefix(1);
    const auto number = [&](size_t n) -> std::optional<size_t> {
      const auto piece = in.take(n);
      if (!piece) return std::nullopt;
      size_t v = 0;
      for (size_t i = 0; i < n; ++i) v |= static_cast<size_t>(static_cast<unsigned char>((*piece)[i])) << (8 * i);
      return v;
    };
    size_t length = (tag >> 2) + 1u;
    if ((tag & 3) == 0) {
      if (length > 60) {
        const auto n = number(length - 60);
        if (!n) return std::nullopt;
        length = *n + 1;
      }
      const auto piece = in.take(length);
      if (!piece || out.size() + length > *size) return std::nullopt;
      out += *piece;
      continue;
    }
    const size_t wide = (tag & 3) == 3 ? 4 : (tag & 3);
    auto offset = number(wide);
    if (!offset) return std::nullopt;
    if ((tag & 3) == 1) {
      length = ((tag >> 2) & 7u) + 4;
      *offset |= static_cast<size_t>(tag >> 5) << 8;
    }
    if (*offset == 0 || *offset > out.size() || out.size() + length > *size) return std::nullopt;
    for (size_t i = 0; i < length; ++i) out += out[out.size() - *offset];
  }
  return out.size() == *size ? std::optional(std::move(out)) : std::nullopt;
}

struct Handle {
  uint64_t offset = 0, size = 0;
};

std::optional<Handle> handle(std::string_view bytes) {
  Cursor c{bytes};
  const auto offset = c.varint(), size = c.varint();
  if (!offset || !size) return std::nullopt;
  return Handle{*offset, *size};
}

// The contents of a block: its bytes, then one byte of kind and four of checksum.
Result<std::string> block(std::string_view file, Handle h) {
  if (h.offset > file.size() || h.size > file.size() - h.offset || file.size() - h.offset - h.size < 5)
    return damaged("a block lies outside the file");
  const std::string_view contents = file.substr(h.offset, h.size);
  const char kind = file[h.offset + h.size];
  if (masked_crc32c(file.substr(h.offset, h.size + 1)) != fixed32(file.substr(h.offset + h.size + 1, 4)))
    return damaged("the checksum of a block is wrong");
  if (kind == 0) return std::string(contents);
  if (kind != 1) return damaged("a block is compressed in a way that is not known");
  auto plain = unsnap(contents);
  if (!plain) return damaged("a compressed block is malformed");
  return *std::move(plain);
}

// Calls f(key, value) for each entry of a block: keys share their beginning with the one before.
template <class F>
Status each_entry(std::string_view contents, F&& f) {
  if (contents.size() < 4) return damaged("a block is too short");
  const uint64_t restarts = fixed32(contents.substr(contents.size() - 4));
  if (restarts > (contents.size() - 4) / 4) return damaged("a block has more restarts than bytes");
  Cursor c{contents.substr(0, contents.size() - 4 - 4 * restarts)};
  std::string key;
  while (!c.rest.empty()) {
    const auto shared = c.varint(), fresh = c.varint(), length = c.varint();
    if (!shared || !fresh || !length || *shared > key.size() || *fresh > kMaxKey)
      return damaged("an entry of a block is malformed");
    const auto suffix = c.take(*fresh);
    const auto value = suffix ? c.take(*length) : std::nullopt;
    if (!value) return damaged("an entry reaches beyond its block");
    key.resize(*shared);
    key += *suffix;
    if (key.size() > kMaxKey) return damaged("a key is too long");
    LATHE_CHECK(f(key, *value));
  }
  return {};
}

}  // namespace

std::optional<DType> dtype_of(int64_t tensorflow) {
  if (tensorflow > kReference) tensorflow -= kReference;
  if (tensorflow < 1 || tensorflow > static_cast<int64_t>(std::size(kTypes))) return std::nullopt;
  const DType t = kTypes[tensorflow - 1];
  return t == DType::kUndefined ? std::nullopt : std::optional(t);
}

std::optional<DType> complex_part(int64_t tensorflow) {
  if (tensorflow == kComplex64) return DType::kF32;
  return tensorflow == kComplex128 ? std::optional(DType::kF64) : std::nullopt;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

Result<std::map<std::string, std::string>> read_table(std::string_view bytes) {
  constexpr size_t kFooter = 48;
  constexpr uint64_t kMagic = 0xdb4775248b80fb57u;
  if (bytes.size() < kFooter) return damaged("the file is too short for a table");
  const std::string_view footer = bytes.substr(bytes.size() - kFooter);
  uint64_t magic = 0;
  std::memcpy(&magic, footer.substr(kFooter - 8).data(), 8);
  if (magic != kMagic) return damaged("not a table: its last bytes are wrong");
  Cursor c{footer};
  c.varint();
  c.varint();  // the meta index, which is empty
  const auto index = handle(c.rest);
  if (!index) return damaged("the footer is malformed");
  LATHE_TRY(const std::string blocks, block(bytes, *index));
  std::map<std::string, std::string> table;
  size_t total = 0;
  LATHE_CHECK(each_entry(blocks, [&](const std::string&, std::string_view where) -> Status {
    const auto h = handle(where);
    if (!h) return damaged("an entry of the index is malformed");
    LATHE_TRY(const std::string contents, block(bytes, *h));
    return each_entry(contents, [&](const std::string& key, std::string_view value) -> Status {
      total += key.size() + value.size();
      if (total > kMaxTable) return damaged("the table is too large");
      if (!table.empty() && key <= table.rbegin()->first) return damaged("keys are not in order");
      table.emplace_hint(table.end(), key, value);
      return {};
    });
  }));
  return table;
}

Result<Checkpoint> Checkpoint::open(const std::string& prefix, size_t max_tensor_bytes) {
  const std::string index = prefix + ".index";
  Checkpoint c;
  c.prefix_ = prefix;
  c.max_bytes_ = max_tensor_bytes;
  const auto read = [&]() -> Status {
    LATHE_TRY(const importer::FileBytes file, importer::map_file(index));
    LATHE_TRY(const auto table, read_table(file.bytes));
    for (const auto& [key, value] : table) {
      if (key.empty()) {
        LATHE_TRY(const auto header, proto::parse_bundle_header(value));
        if (header.shards < 1 || header.shards > 99999)
          return damaged("names " + std::to_string(header.shards) + " shards");
        if (header.big_endian) return fail(Code::kUnsupported, "big-endian checkpoints are not supported");
        c.shards_ = header.shards;
        continue;
      }
      LATHE_TRY(c.entries_[key], proto::parse_bundle_entry(value));
    }
    if (c.shards_ == 0) return damaged("there is no header");
    return {};
  };
  if (auto ok = read(); !ok) return fail(ok.error().code, index + ": " + ok.error().message);
  // Objects' own names of their variables; other checkpoints are keyed by the variables' names themselves.
  constexpr std::string_view kObjects = "_CHECKPOINTABLE_OBJECT_GRAPH";
  if (const auto e = c.entries_.find(kObjects); e != c.entries_.end()) {
    LATHE_TRY(const Tensor t, c.read(kObjects));
    if (t.dtype() == DType::kString && t.count() == 1) {
      const auto attributes = proto::parse_object_graph(t.strings()[0]);
      if (!attributes) return fail(attributes.error().code, index + ": " + attributes.error().message);
      for (const auto& a : *attributes)
        if (!a.full_name.empty()) {
          const auto [at, fresh] = c.keys_.emplace(a.full_name, a.checkpoint_key);
          if (!fresh && at->second != a.checkpoint_key) at->second.clear();  // ambiguous
        }
    }
  }
  return c;
}

std::optional<std::string> Checkpoint::key_of(std::string_view variable) const {
  if (has(variable)) return std::string(variable);
  const auto k = keys_.find(variable);
  return k == keys_.end() || !has(k->second) ? std::nullopt : std::optional(k->second);
}

Result<std::string_view> Checkpoint::bytes_of(const proto::BundleEntry& e) {
  if (e.shard < 0 || e.shard >= shards_) return damaged("shard " + std::to_string(e.shard) + " does not exist");
  auto file = files_.find(e.shard);
  if (file == files_.end()) {
    const std::string path = fmt::format("{}.data-{:05}-of-{:05}", prefix_, e.shard, shards_);
    auto mapped = importer::map_file(path);
    if (!mapped) return damaged(mapped.error().message);
    file = files_.emplace(e.shard, *std::move(mapped)).first;
  }
  const std::string_view all = file->second.bytes;
  if (e.offset < 0 || e.size < 0 || static_cast<uint64_t>(e.offset) > all.size() ||
      static_cast<uint64_t>(e.size) > all.size() - static_cast<uint64_t>(e.offset))
    return damaged(
        fmt::format("bytes {}+{} lie beyond the end of shard {} ({} bytes)", e.offset, e.size, e.shard, all.size()));
  return all.substr(static_cast<size_t>(e.offset), static_cast<size_t>(e.size));
}

Result<Tensor> Checkpoint::read(std::string_view key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return damaged(prefix_ + ".index has no entry \"" + std::string(key) + "\"");
  const proto::BundleEntry& e = found->second;
  const auto where = [&](const std::string& why) { return prefix_ + ": \"" + std::string(key) + "\": " + why; };
  const auto dtype = dtype_of(e.dtype);
  if (e.sliced) return fail(Code::kUnsupported, where("variables split in slices are not supported"));
  if (!dtype) return fail(Code::kUnsupported, where("element type " + std::to_string(e.dtype) + " is not supported"));
  if (e.shape.dims.size() > 32) return fail(Code::kUnsupported, where("rank above 32"));
  const auto bytes = importer::checked_bytes(*dtype, e.shape.dims, max_bytes_);
  if (!bytes) return damaged(where("its dimensions give an impossible size"));
  const auto data = bytes_of(e);
  if (!data) return fail(data.error().code, where(data.error().message));
  if (*dtype == DType::kString) {  // lengths, their checksum, then the characters
    Cursor c{*data};
    uint64_t count = 1;
    for (const int64_t d : e.shape.dims) count *= static_cast<uint64_t>(d);
    if (count > data->size()) return damaged(where("too short for its strings"));
    std::vector<uint64_t> lengths;
    for (uint64_t i = 0; i < count; ++i) {
      const auto n = c.varint();
      if (!n) return damaged(where("too short for its strings"));
      lengths.push_back(*n);
    }
    // The checksum covers the lengths as numbers of fixed size, and what comes after them.
    std::string summed;
    for (const uint64_t n : lengths)
      summed.append(std::string_view(reinterpret_cast<const char*>(&n), n > UINT32_MAX ? 8 : 4));
    summed += c.rest;
    if (masked_crc32c(summed) != e.crc) return damaged(where("the checksum of its values is wrong"));
    if (!c.take(4)) return damaged(where("too short for its strings"));
    std::vector<std::string> values;
    for (const uint64_t n : lengths) {
      const auto piece = c.take(n);
      if (!piece) return damaged(where("a string reaches beyond its end"));
      values.emplace_back(*piece);
    }
    return Tensor::of_strings(e.shape.dims, std::move(values));
  }
  if (data->size() != *bytes)
    return damaged(where(fmt::format("holds {} bytes, its shape needs {}", data->size(), *bytes)));
  if (masked_crc32c(*data) != e.crc) return damaged(where("the checksum of its values is wrong"));
  return importer::tensor_over(*dtype, e.shape.dims, *data, files_.at(e.shard).owner);
}

}  // namespace lathe::tensorflow
