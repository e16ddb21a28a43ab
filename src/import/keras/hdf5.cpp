// SPDX-License-Identifier: Apache-2.0
// After the "HDF5 File Format Specification", version 3: superblocks 0 and 1, object headers 1, symbol tables, layouts
// 3 and 4. Numbers are little-endian; offsets and lengths of 8 bytes, as every writer of today has them.
#include "import/keras/hdf5.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "import/builder.h"

namespace lathe::keras {

namespace {

constexpr uint64_t kNowhere = ~uint64_t{0};
constexpr size_t kMaxMessages = 1 << 16, kMaxBlocks = 1 << 10, kMaxMembers = 1 << 20, kMaxStrings = 1 << 16;
constexpr size_t kMaxText = 256 << 20;
constexpr int kMaxTreeDepth = 64;
enum MessageType : uint16_t {
  kDataspace = 0x01,
  kDatatype = 0x03,
  kLayout = 0x08,
  kFilters = 0x0B,
  kAttribute = 0x0C,
  kContinuation = 0x10,
  kSymbolTable = 0x11
};
enum TypeKind { kInteger = 0, kFloat = 1, kString = 3, kVarying = 9 };

std::unexpected<Error> broken(std::string why) { return fail(Code::kDamaged, "HDF5: " + std::move(why)); }
std::unexpected<Error> beyond(std::string why) { return fail(Code::kUnsupported, "HDF5: " + std::move(why)); }

/// Reads numbers one after another; past the end they are 0 and `ok` is false.
struct Cursor {
  std::string_view data;
  size_t at = 0;
  bool ok = true;

  std::string_view take(uint64_t size) {
    if (!ok || size > data.size() - at) {
      ok = false;
      return {};
    }
    at += static_cast<size_t>(size);
    return data.substr(at - static_cast<size_t>(size), static_cast<size_t>(size));
  }
  uint64_t number(size_t size) {
    uint64_t v = 0;
    const std::string_view raw = take(size);
    for (size_t i = raw.size(); i-- > 0;) v = v << 8 | static_cast<unsigned char>(raw[i]);
    return v;
  }
};

}  // namespace

Result<std::string_view> Hdf5::bytes(uint64_t at, uint64_t size, std::string_view what) const {
  if (at > file_.bytes.size() || size > file_.bytes.size() - at)
    return broken(std::string(what) + " lies outside the file");
  return file_.bytes.substr(static_cast<size_t>(at), static_cast<size_t>(size));
}

Result<Hdf5> Hdf5::open(importer::FileBytes file, size_t max_bytes) {
  Hdf5 h;
  h.file_ = std::move(file);
  h.max_bytes_ = max_bytes;
  if (!looks_like(h.file_.bytes)) return broken("the file has not its signature");
  Cursor c{h.file_.bytes, 8};
  const uint64_t version = c.number(1);
  if (version > 1)
    return beyond("a file of the newer layout (superblock " + std::to_string(version) +
                  "); save it with h5py's default libver");
  c.take(4);
  const uint64_t offsets = c.number(1), lengths = c.number(1);
  c.take(version == 0 ? 9 : 13);
  const uint64_t base = c.number(8);
  c.take(32);  // free space, end of the file, driver; the root's name
  h.root_ = c.number(8);
  if (!c.ok) return broken("the file is cut off");
  if (offsets != 8 || lengths != 8) return beyond("offsets of " + std::to_string(offsets) + " bytes");
  if (base != 0) return beyond("a file that begins with something else");
  return h;
}

Status Hdf5::read_messages(std::string_view block, std::vector<Message>& all,
                           std::vector<std::string_view>& blocks) const {
  Cursor c{block};
  while (block.size() - c.at >= 8) {
    Message m;
    m.type = static_cast<uint16_t>(c.number(2));
    const uint64_t size = c.number(2), flags = c.number(1);
    c.take(3);
    m.data = c.take(size);
    if (!c.ok) return broken("an object's header is cut off");
    const bool read = m.type == kDataspace || m.type == kDatatype || m.type == kLayout || m.type == kAttribute;
    if ((flags & 2) != 0 && read) return beyond("types that objects share");
    if (m.type == kContinuation) {
      Cursor to{m.data};
      const uint64_t at = to.number(8), length = to.number(8);
      if (!to.ok || blocks.size() >= kMaxBlocks) return broken("an object's header has no end");
      LATHE_TRY(const std::string_view next, bytes(at, length, "a part of an object's header"));
      blocks.push_back(next);
      continue;
    }
    if (all.size() >= kMaxMessages) return broken("an object's header is too long");
    all.push_back(m);
  }
  return {};
}

Result<std::vector<Hdf5::Message>> Hdf5::messages(Address at) const {
  LATHE_TRY(const std::string_view head, bytes(at, 16, "an object's header"));
  if (head.starts_with("OHDR")) return beyond("objects of the newer form; save the file with h5py's default libver");
  Cursor c{head};
  if (c.number(1) != 1) return broken("an object's header is of no known version");
  c.take(7);
  LATHE_TRY(const std::string_view first, bytes(at + 16, c.number(4), "an object's header"));
  std::vector<Message> all;
  std::vector<std::string_view> blocks = {first};
  for (size_t i = 0; i < blocks.size(); ++i) LATHE_CHECK(read_messages(blocks[i], all, blocks));
  return all;
}

// A node of the tree holds up to 2 K children: other nodes, or at the lowest level tables of symbols.
Status Hdf5::read_tree(Address at, std::string_view heap, int depth, size_t& budget,
                       std::map<std::string, Address, std::less<>>& all) const {
  if (depth > kMaxTreeDepth || budget == 0) return broken("a group's tree goes in a circle or is too large");
  --budget;
  LATHE_TRY(const std::string_view head, bytes(at, 24, "a group's tree"));
  Cursor c{head, 4};
  const uint64_t kind = c.number(1), level = c.number(1), used = c.number(2);
  if (!head.starts_with("TREE") || kind != 0) return broken("a group's tree is none");
  LATHE_TRY(const std::string_view body, bytes(at + 24, used * 16, "a group's tree"));
  Cursor children{body};
  for (uint64_t i = 0; i < used; ++i) {
    children.take(8);
    const uint64_t child = children.number(8);
    if (level > 0) {
      LATHE_CHECK(read_tree(child, heap, depth + 1, budget, all));
      continue;
    }
    LATHE_TRY(const std::string_view table, bytes(child, 8, "a table of symbols"));
    Cursor t{table, 6};
    const uint64_t count = t.number(2);
    if (!table.starts_with("SNOD")) return broken("a table of symbols is none");
    LATHE_TRY(const std::string_view entries, bytes(child + 8, count * 40, "a table of symbols"));
    Cursor e{entries};
    for (uint64_t k = 0; k < count; ++k) {
      const uint64_t name = e.number(8), object = e.number(8), cache = e.number(4);
      e.take(20);
      if (name >= heap.size()) return broken("a name lies outside its heap");
      const std::string_view text = heap.substr(static_cast<size_t>(name));
      const size_t end = text.find('\0');
      if (end == std::string_view::npos) return broken("a name has no end");
      if (cache == 2) return beyond("symbolic links");
      if (budget == 0 || all.size() >= kMaxMembers) return broken("a group has too many members");
      --budget;
      if (!all.emplace(std::string(text.substr(0, end)), object).second)
        return broken("a group has two members \"" + std::string(text.substr(0, end)) + "\"");
    }
  }
  return {};
}

Result<std::map<std::string, Hdf5::Address, std::less<>>> Hdf5::members(Address group) const {
  LATHE_TRY(const auto all, messages(group));
  std::map<std::string, Address, std::less<>> result;
  for (const Message& m : all) {
    if (m.type != kSymbolTable) continue;
    Cursor c{m.data};
    const uint64_t tree = c.number(8), heap_at = c.number(8);
    if (!c.ok) return broken("a group's header is cut off");
    LATHE_TRY(const std::string_view heap_head, bytes(heap_at, 32, "a group's names"));
    if (!heap_head.starts_with("HEAP")) return broken("a group's names are none");
    Cursor h{heap_head, 8};
    const uint64_t size = h.number(8);
    h.take(8);
    LATHE_TRY(const std::string_view heap, bytes(h.number(8), size, "a group's names"));
    size_t budget = kMaxMembers;
    LATHE_CHECK(read_tree(tree, heap, 0, budget, result));
    return result;
  }
  return result;
}

Result<std::optional<Hdf5::Address>> Hdf5::find(Address group, std::string_view path) const {
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) continue;
    LATHE_TRY(const auto all, members(group));
    const auto found = all.find(name);
    if (found == all.end()) return std::optional<Address>();
    group = found->second;
  }
  return std::optional(group);
}

Result<Hdf5::Type> Hdf5::type(std::string_view data) {
  Cursor c{data};
  const uint64_t first = c.number(1), flags = c.number(1);
  c.take(2);
  Type t;
  t.kind = static_cast<int>(first & 15);
  t.size = c.number(4);
  if (!c.ok) return broken("a type is cut off");
  if (t.kind == kInteger || t.kind == kFloat) {
    if ((flags & 1) != 0) return beyond("numbers in big-endian order");
    const bool is_signed = (flags & 8) != 0;
    c.take(2);
    const uint64_t precision = c.number(2);
    if (!c.ok || precision != t.size * 8) return beyond("numbers of " + std::to_string(precision) + " bits");
    if (t.kind == kFloat) {
      c.take(1);
      const uint64_t exponent = c.number(1);
      t.dtype = t.size == 4     ? DType::kF32
                : t.size == 8   ? DType::kF64
                : t.size != 2   ? DType::kUndefined
                : exponent == 5 ? DType::kF16
                                : DType::kBF16;
    } else {
      constexpr DType kSigned[] = {DType::kI8, DType::kI16, DType::kI32, DType::kI64};
      constexpr DType kUnsigned[] = {DType::kU8, DType::kU16, DType::kU32, DType::kU64};
      for (size_t i = 0; i < 4; ++i)
        if (t.size == size_t{1} << i) t.dtype = is_signed ? kSigned[i] : kUnsigned[i];
    }
  } else if (t.kind == kVarying) {
    t.varying = (flags & 15) == 1;
  }
  return t;
}

Result<std::vector<int64_t>> Hdf5::space(std::string_view data) {
  Cursor c{data};
  const uint64_t version = c.number(1), rank = c.number(1);
  c.take(1);
  const uint64_t kind = c.number(1);
  if (version == 1) c.take(4);
  std::vector<int64_t> dims;
  if (rank > 32 || version < 1 || version > 2) return broken("a shape is of no known version");
  for (uint64_t d = 0; d < rank; ++d) {
    const uint64_t size = c.number(8);
    if (size > uint64_t{1} << 40) return broken("a size is impossible");
    dims.push_back(static_cast<int64_t>(size));
  }
  if (!c.ok) return broken("a shape is cut off");
  if (version == 2 && kind == 2) dims = {0};  // holds nothing
  return dims;
}

Result<Tensor> Hdf5::dataset(Address at) const {
  LATHE_TRY(const auto all, messages(at));
  std::optional<std::vector<int64_t>> dims;
  std::optional<Type> element;
  std::string_view layout;
  for (const Message& m : all) {
    if (m.type == kDataspace) {
      LATHE_TRY(dims, space(m.data));
    } else if (m.type == kDatatype) {
      LATHE_TRY(element, type(m.data));
    } else if (m.type == kLayout) {
      layout = m.data;
    } else if (m.type == kFilters) {
      return beyond("compressed datasets; save the weights without compression");
    }
  }
  if (!dims || !element || layout.empty()) return broken("a dataset has no shape, type or place");
  if (element->dtype == DType::kUndefined) return beyond("a dataset whose elements are no plain numbers");
  const auto size = importer::checked_bytes(element->dtype, *dims, max_bytes_);
  if (!size) return broken("a dataset has an impossible size");
  Cursor c{layout};
  const uint64_t version = c.number(1), kind = c.number(1);
  if (version != 3 && version != 4) return beyond("datasets of an old form");
  if (kind == 0) {
    const std::string_view data = c.take(c.number(2));
    if (!c.ok || data.size() < *size) return broken("a dataset is cut off");
    return importer::tensor_over(element->dtype, *dims, data.substr(0, *size), file_.owner);
  }
  if (kind != 1) return beyond("datasets in chunks; save the weights without compression");
  const uint64_t place = c.number(8);
  if (!c.ok) return broken("a dataset has no place");
  if (place == kNowhere) {  // never written
    if (*size > 0) return broken("a dataset was never written");
    return Tensor::zeros(element->dtype, *dims);
  }
  LATHE_TRY(const std::string_view data, bytes(place, *size, "a dataset"));
  return importer::tensor_over(element->dtype, *dims, data, file_.owner);
}

// An object of a collection, of which a file has some for everything whose size varies.
Result<std::string> Hdf5::global(uint64_t collection, uint32_t index, uint64_t size) const {
  LATHE_TRY(const std::string_view head, bytes(collection, 16, "a collection of strings"));
  if (!head.starts_with("GCOL")) return broken("a collection of strings is none");
  Cursor c{head, 8};
  const uint64_t length = c.number(8);
  if (length < 16) return broken("a collection of strings has an impossible size");
  LATHE_TRY(const std::string_view body, bytes(collection, length, "a collection of strings"));
  Cursor o{body, 16};
  while (body.size() - o.at >= 16) {
    const uint64_t number = o.number(2);
    o.take(6);
    const uint64_t bytes_of = o.number(8);
    if (number == 0) break;  // what is free
    const std::string_view data = o.take(bytes_of);
    if (!o.ok) return broken("a string is cut off");
    if (number == index) {
      if (data.size() < size) return broken("a string is cut off");
      return std::string(data.substr(0, static_cast<size_t>(size)));
    }
    o.take(std::min<uint64_t>((8 - bytes_of % 8) % 8, body.size() - o.at));
  }
  return broken("a string is not there");
}

Result<Hdf5::Attribute> Hdf5::attribute(std::string_view data, std::string_view wanted, bool& found) {
  Cursor c{data};
  const uint64_t version = c.number(1), flags = c.number(1), name_size = c.number(2), type_size = c.number(2),
                 space_size = c.number(2);
  if (version == 3) c.take(1);
  const auto padded = [&](uint64_t n) { return version == 1 ? (n + 7) / 8 * 8 : n; };
  std::string_view name = c.take(padded(name_size));
  if (!c.ok || version < 1 || version > 3) return broken("an attribute is cut off or of no known version");
  name = name.substr(0, std::min(name.find('\0'), name.size()));
  found = name == wanted;
  Attribute a;
  if (!found) return a;
  if (version > 1 && (flags & 3) != 0) return beyond("types that objects share");
  const std::string_view raw_type = c.take(padded(type_size)), raw_space = c.take(padded(space_size));
  if (!c.ok) return broken("an attribute is cut off");
  LATHE_TRY(a.type, type(raw_type));
  LATHE_TRY(a.dims, space(raw_space));
  a.data = data.substr(c.at);
  return a;
}

Result<std::optional<std::vector<std::string>>> Hdf5::strings(Address at, std::string_view wanted) const {
  LATHE_TRY(const auto all, messages(at));
  for (const Message& m : all) {
    if (m.type != kAttribute) continue;
    bool found = false;
    LATHE_TRY(const Attribute a, attribute(m.data, wanted, found));
    if (!found) continue;
    uint64_t count = 1;
    for (const int64_t d : a.dims)
      if (__builtin_mul_overflow(count, static_cast<uint64_t>(d), &count) || count > kMaxStrings)
        return broken("an attribute has an impossible size");
    std::vector<std::string> result;
    if (a.type.kind != kString && !a.type.varying) {
      if (count == 0) return std::optional(result);  // an empty list of whatever
      return broken("attribute \"" + std::string(wanted) + "\" is no text");
    }
    const uint64_t size = a.type.varying ? 16 : a.type.size;
    size_t text = 0;
    Cursor c{a.data};
    for (uint64_t i = 0; i < count; ++i) {
      const std::string_view raw = c.take(size);
      if (!c.ok) return broken("attribute \"" + std::string(wanted) + "\" is cut off");
      if (a.type.varying) {
        Cursor place{raw};
        const uint64_t length = place.number(4), collection = place.number(8), index = place.number(4);
        if (length == 0) {
          result.emplace_back();
          continue;
        }
        LATHE_TRY(std::string value, global(collection, static_cast<uint32_t>(index), length));
        result.push_back(std::move(value));
      } else {
        result.emplace_back(raw.substr(0, std::min(raw.find('\0'), raw.size())));
      }
      text += result.back().size();
      if (text > kMaxText) return broken("attribute \"" + std::string(wanted) + "\" is too long");
    }
    return std::optional(result);
  }
  return std::optional<std::vector<std::string>>();
}

}  // namespace lathe::keras
