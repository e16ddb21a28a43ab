// SPDX-License-Identifier: Apache-2.0
#include "import/pt2/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "import/archive.h"
#include "import/builder.h"

namespace lathe::pt2 {

namespace {

std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

constexpr size_t kMaxValues = 4'000'000;

template <class T>
Status done(const Result<T>& r) {
  if (!r) return std::unexpected(r.error());
  return {};
}

// A value of the pickle: an index into the machine's pool, so that what refers to itself does no harm.
using Id = int32_t;
constexpr Id kNothing = 0;

struct Value {
  enum class Kind : uint8_t { kNone, kInt, kString, kList, kDict, kGlobal, kStorage, kTensor, kOpaque };
  Kind kind = Kind::kNone;
  int64_t number = 0;          ///< kInt; kTensor: offset in elements
  std::string text = {};       ///< kString; kGlobal: "module name"; kStorage: its file
  std::vector<Id> items = {};  ///< kList (also tuples); kDict: keys and values in turn
  std::vector<int64_t> sizes = {}, strides = {};
  DType dtype = DType::kUndefined;
};

struct TypeName {
  std::string_view name;
  DType dtype;
};
// The storage classes of torch.
constexpr TypeName kStorages[] = {
    {"torch BFloat16Storage", DType::kBF16}, {"torch BoolStorage", DType::kBool},  {"torch ByteStorage", DType::kU8},
    {"torch CharStorage", DType::kI8},       {"torch DoubleStorage", DType::kF64}, {"torch FloatStorage", DType::kF32},
    {"torch HalfStorage", DType::kF16},      {"torch IntStorage", DType::kI32},    {"torch LongStorage", DType::kI64},
    {"torch ShortStorage", DType::kI16},
};

// The pickle machine: the opcodes that protocols 2 to 4 need for data. A call of a class makes a value only for the
// few of torch that stand for tensors; all others are opaque.
class Machine {
 public:
  explicit Machine(std::string_view bytes) : bytes_(bytes) { pool_.emplace_back(); }

  Result<Id> run();
  [[nodiscard]] const Value& value(Id id) const { return pool_[static_cast<size_t>(id)]; }

 private:
  using Kind = Value::Kind;

  Result<std::string_view> take(size_t n) {
    if (n > bytes_.size() - at_) return damaged("the pickle is cut off");
    const auto r = bytes_.substr(at_, n);
    at_ += n;
    return r;
  }
  template <class T>
  Result<T> number() {
    LATHE_TRY(const auto raw, take(sizeof(T)));
    T v{};
    std::memcpy(&v, raw.data(), sizeof(T));  // NOLINT(bugprone-suspicious-stringview-data-usage): bytes, not text
    return v;
  }
  Result<std::string_view> line() {
    const auto end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) return damaged("the pickle is cut off");
    const auto r = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return r;
  }
  Id push(Value v) {
    pool_.push_back(std::move(v));
    stack_.push_back(static_cast<Id>(pool_.size()) - 1);
    return stack_.back();
  }
  Result<Id> pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) return damaged("the pickle pops what is not there");
    const Id r = stack_.back();
    stack_.pop_back();
    return r;
  }
  Result<std::vector<Id>> pop_to_mark() {
    if (marks_.empty()) return damaged("the pickle has no mark");
    std::vector<Id> r(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return r;
  }
  Result<Value*> top() {
    if (stack_.empty()) return damaged("the pickle's stack is empty");
    return &pool_[static_cast<size_t>(stack_.back())];
  }
  Status tuple(size_t n) {
    Value v{.kind = Kind::kList};
    v.items.resize(n);
    for (size_t i = n; i-- > 0;) {
      LATHE_TRY(v.items[i], pop());
    }
    push(std::move(v));
    return {};
  }
  Status text(std::string_view s) {
    push({.kind = Kind::kString, .text = std::string(s)});
    return {};
  }
  Status integer(int64_t v) {
    push({.kind = Kind::kInt, .number = v});
    return {};
  }
  Status get(size_t i) {
    const auto found = memo_.find(i);
    if (found == memo_.end()) return damaged("the pickle refers to what is not there");
    stack_.push_back(found->second);
    return {};
  }
  Status put(size_t i) {
    if (stack_.empty()) return damaged("the pickle's stack is empty");
    memo_[i] = stack_.back();
    return {};
  }
  Status extend(std::vector<Id> items, Kind kind) {
    LATHE_TRY(Value * to, top());
    if (to->kind != kind && to->kind != Kind::kOpaque) return damaged("the pickle adds to what is no container");
    if (kind == Kind::kDict && items.size() % 2 != 0) return damaged("the pickle adds a key without a value");
    to->items.insert(to->items.end(), items.begin(), items.end());
    return {};
  }
  Status step(unsigned char op);
  Status persistent();
  Status call();
  std::optional<std::vector<int64_t>> integers(Id list) const;

  std::string_view bytes_;
  size_t at_ = 0;
  std::vector<Value> pool_;
  std::vector<Id> stack_;
  std::vector<size_t> marks_;
  std::map<size_t, Id> memo_;
};

std::optional<std::vector<int64_t>> Machine::integers(Id list) const {
  std::vector<int64_t> r;
  if (value(list).kind != Kind::kList) return std::nullopt;
  for (const Id i : value(list).items) {
    if (value(i).kind != Kind::kInt) return std::nullopt;
    r.push_back(value(i).number);
  }
  return r;
}

// ("storage", class, key, device, elements)
Status Machine::persistent() {
  LATHE_TRY(const Id id, pop());
  const auto& items = value(id).items;
  if (items.size() < 5 || value(items[0]).text != "storage" || value(items[1]).kind != Kind::kGlobal ||
      value(items[2]).kind != Kind::kString)
    return damaged("the pickle refers to a file in an unknown way");
  Value v{.kind = Kind::kStorage, .text = value(items[2]).text};
  for (const auto& [name, dtype] : kStorages)
    if (name == value(items[1]).text) v.dtype = dtype;
  push(std::move(v));
  return {};
}

Status Machine::call() {
  LATHE_TRY(const Id arguments, pop());
  LATHE_TRY(const Id callee, pop());
  const std::string& name = value(callee).text;
  const std::vector<Id> items = value(arguments).items;
  if (value(callee).kind == Kind::kGlobal) {
    if (name == "collections OrderedDict" && items.empty()) {
      push({.kind = Kind::kDict});
      return {};
    }
    // (storage, offset, sizes, strides, requires_grad, hooks)
    if (name == "torch._utils _rebuild_tensor_v2" && items.size() >= 4 && value(items[0]).kind == Kind::kStorage &&
        value(items[1]).kind == Kind::kInt) {
      const auto sizes = integers(items[2]), strides = integers(items[3]);
      if (!sizes || !strides) return damaged("the pickle holds a tensor without sizes");
      push({.kind = Kind::kTensor,
            .number = value(items[1]).number,
            .text = value(items[0]).text,
            .sizes = *sizes,
            .strides = *strides,
            .dtype = value(items[0]).dtype});
      return {};
    }
    if (name == "torch._utils _rebuild_parameter" && !items.empty()) {  // (tensor, requires_grad, hooks)
      stack_.push_back(items[0]);
      return {};
    }
  }
  push({.kind = Kind::kOpaque});
  return {};
}

Status Machine::step(unsigned char op) {
  switch (op) {
    case 0x80:  // PROTO
      return done(take(1));
    case 0x95:  // FRAME
      return done(take(8));
    case '(':
      marks_.push_back(stack_.size());
      return {};
    case '0':  // POP
      return done(pop());
    case 'N':
      stack_.push_back(kNothing);
      return {};
    case 0x88:  // NEWTRUE
      return integer(1);
    case 0x89:  // NEWFALSE
      return integer(0);
    case 'K': {
      LATHE_TRY(const auto v, number<uint8_t>());
      return integer(v);
    }
    case 'M': {
      LATHE_TRY(const auto v, number<uint16_t>());
      return integer(v);
    }
    case 'J': {
      LATHE_TRY(const auto v, number<int32_t>());
      return integer(v);
    }
    case 0x8a: {  // LONG1: little-endian two's complement
      LATHE_TRY(const auto size, number<uint8_t>());
      LATHE_TRY(const auto raw, take(size));
      if (size > 8) return damaged("the pickle holds an integer of more than 64 bits");
      uint64_t v = size > 0 && (static_cast<unsigned char>(raw.back()) & 0x80) ? ~uint64_t{0} : 0;
      for (size_t i = size; i-- > 0;) v = v << 8 | static_cast<unsigned char>(raw[i]);
      return integer(std::bit_cast<int64_t>(v));
    }
    case 'G':  // BINFLOAT
      LATHE_CHECK(done(take(8)));
      push({.kind = Kind::kOpaque});
      return {};
    case 'X': {  // BINUNICODE
      LATHE_TRY(const auto size, number<uint32_t>());
      LATHE_TRY(const auto raw, take(size));
      return text(raw);
    }
    case 0x8c:   // SHORT_BINUNICODE
    case 'U':    // SHORT_BINSTRING
    case 'C': {  // SHORT_BINBYTES
      LATHE_TRY(const auto size, number<uint8_t>());
      LATHE_TRY(const auto raw, take(size));
      return text(raw);
    }
    case 'B': {  // BINBYTES
      LATHE_TRY(const auto size, number<uint32_t>());
      LATHE_TRY(const auto raw, take(size));
      return text(raw);
    }
    case '}':
      push({.kind = Kind::kDict});
      return {};
    case ']':
    case ')':
    case 0x8f:  // EMPTY_SET
      push({.kind = Kind::kList});
      return {};
    case 0x85:
      return tuple(1);
    case 0x86:
      return tuple(2);
    case 0x87:
      return tuple(3);
    case 't': {
      LATHE_TRY(auto items, pop_to_mark());
      push({.kind = Kind::kList, .items = std::move(items)});
      return {};
    }
    case 'a': {  // APPEND
      LATHE_TRY(const Id v, pop());
      return extend({v}, Kind::kList);
    }
    case 'e':     // APPENDS
    case 0x90: {  // ADDITEMS
      LATHE_TRY(auto items, pop_to_mark());
      return extend(std::move(items), Kind::kList);
    }
    case 's': {  // SETITEM
      LATHE_TRY(const Id v, pop());
      LATHE_TRY(const Id key, pop());
      return extend({key, v}, Kind::kDict);
    }
    case 'u': {  // SETITEMS
      LATHE_TRY(auto items, pop_to_mark());
      return extend(std::move(items), Kind::kDict);
    }
    case 'c': {  // GLOBAL
      LATHE_TRY(const auto module, line());
      LATHE_TRY(const auto name, line());
      push({.kind = Kind::kGlobal, .text = std::string(module) + " " + std::string(name)});
      return {};
    }
    case 0x93: {  // STACK_GLOBAL
      LATHE_TRY(const Id name, pop());
      LATHE_TRY(const Id module, pop());
      std::string both = value(module).text + " " + value(name).text;
      push({.kind = Kind::kGlobal, .text = std::move(both)});
      return {};
    }
    case 'Q':  // BINPERSID
      return persistent();
    case 'R':   // REDUCE
    case 0x81:  // NEWOBJ
      return call();
    case 'b':  // BUILD: attributes of what is below; none matters here
      return done(pop());
    case 'q': {
      LATHE_TRY(const auto i, number<uint8_t>());
      return put(i);
    }
    case 'r': {
      LATHE_TRY(const auto i, number<uint32_t>());
      return put(i);
    }
    case 0x94:  // MEMOIZE
      return put(memo_.size());
    case 'h': {
      LATHE_TRY(const auto i, number<uint8_t>());
      return get(i);
    }
    case 'j': {
      LATHE_TRY(const auto i, number<uint32_t>());
      return get(i);
    }
    default:
      return damaged("the pickle has the opcode " + std::to_string(op) + ", which tensors do not need");
  }
}

Result<Id> Machine::run() {
  for (;;) {
    LATHE_TRY(const auto op, number<unsigned char>());
    if (op == '.') return pop();
    LATHE_CHECK(step(op));
    if (pool_.size() > kMaxValues || stack_.size() > kMaxValues) return damaged("the pickle holds too many values");
  }
}

Result<Tensor> tensor_of(const Value& v, const importer::Archive& archive, size_t max_bytes) {
  if (v.dtype == DType::kUndefined) return fail(Code::kUnsupported, "a tensor's element type is not supported");
  LATHE_TRY(const auto storage, archive.read("data/" + v.text));
  return strided_tensor(v.dtype, v.sizes, v.strides, v.number, storage, max_bytes);
}

}  // namespace

Result<Tensor> strided_tensor(DType dtype, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                              int64_t offset, const importer::FileBytes& storage, size_t max_bytes) {
  const auto bytes = importer::checked_bytes(dtype, sizes, max_bytes);
  const auto width = static_cast<size_t>(dtype_bits(dtype) / 8);
  if (!bytes || sizes.size() > 32 || strides.size() != sizes.size() || offset < 0 || width == 0)
    return damaged("a tensor has impossible sizes or strides");
  if (*bytes == 0) return Tensor::zeros(dtype, sizes);
  const auto have = static_cast<int64_t>(storage.bytes.size() / width);
  int64_t last = offset, dense = 1;
  bool contiguous = true;
  for (size_t d = sizes.size(); d-- > 0;) {
    contiguous = contiguous && (sizes[d] == 1 || strides[d] == dense);
    dense *= sizes[d];
    int64_t reach = 0;
    if (strides[d] < 0 || __builtin_mul_overflow(strides[d], sizes[d] - 1, &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return damaged("a tensor has impossible strides");
  }
  if (last >= have) return damaged("a tensor reaches beyond its " + std::to_string(have) + " stored elements");
  const auto first = static_cast<size_t>(offset) * width;
  if (contiguous) return importer::tensor_over(dtype, sizes, storage.bytes.substr(first, *bytes), storage.owner);
  // A broadcast tensor is larger than what is stored of it.
  if (*bytes / 4096 > storage.bytes.size()) return damaged("a tensor has impossible sizes or strides");
  Tensor t = Tensor::zeros(dtype, sizes);
  std::vector<int64_t> index(sizes.size(), 0);
  std::byte* to = t.mutable_bytes().data();
  int64_t at = offset;
  for (size_t done = 0; done < *bytes; done += width) {
    std::memcpy(to + done, storage.bytes.data() + static_cast<size_t>(at) * width, width);
    for (size_t d = sizes.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < sizes[d]) break;
      at -= strides[d] * sizes[d];
      index[d] = 0;
    }
  }
  return t;
}

Result<std::map<std::string, Tensor>> read_tensors(importer::FileBytes file, size_t max_bytes) {
  std::map<std::string, Tensor> tensors;
  if (file.bytes.empty()) return tensors;
  LATHE_TRY(const importer::Archive archive, importer::Archive::open(std::move(file), max_bytes));
  if (archive.has("byteorder")) {
    LATHE_TRY(const auto order, archive.read("byteorder"));
    if (order.bytes != "little") return fail(Code::kUnsupported, "big-endian tensors are not supported");
  }
  LATHE_TRY(const auto pickle, archive.read("data.pkl"));
  Machine machine(pickle.bytes);
  LATHE_TRY(const Id top, machine.run());
  const Value& v = machine.value(top);
  if (v.kind == Value::Kind::kTensor) {
    LATHE_TRY(tensors[""], tensor_of(v, archive, max_bytes));
    return tensors;
  }
  if (v.kind != Value::Kind::kDict) return damaged("the pickle does not hold a dictionary of tensors");
  for (size_t i = 0; i + 1 < v.items.size(); i += 2) {
    const Value &key = machine.value(v.items[i]), &item = machine.value(v.items[i + 1]);
    if (key.kind != Value::Kind::kString || item.kind != Value::Kind::kTensor) continue;
    auto t = tensor_of(item, archive, max_bytes);
    if (!t) return fail(t.error().code, "\"" + key.text + "\": " + t.error().message);
    tensors[key.text] = *std::move(t);
  }
  return tensors;
}

}  // namespace lathe::pt2
