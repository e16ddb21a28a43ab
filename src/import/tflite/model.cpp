// SPDX-License-Identifier: Apache-2.0
#include "import/tflite/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "import/builder.h"

namespace lathe::tflite {

namespace {

using flatbuffers::uoffset_t;

constexpr int kMaxDepth = 64;
constexpr uoffset_t kMaxTables = 16'000'000;
constexpr size_t kMaxRank = 32;

// Indexed by fb::TensorType.
constexpr DType kTypes[] = {DType::kF32,    DType::kF16,      DType::kI32,   DType::kU8,        DType::kI64,
                            DType::kString, DType::kBool,     DType::kI16,   DType::kC64,       DType::kI8,
                            DType::kF64,    DType::kC128,     DType::kU64,   DType::kUndefined, DType::kUndefined,
                            DType::kU32,    DType::kU16,      DType::kI4,    DType::kBF16,      DType::kUndefined,
                            DType::kU4,     DType::kF8E4M3FN, DType::kF8E5M2};

std::string what(const fb::Tensor& t) { return "tensor \"" + name_of(t) + "\""; }

// Strings are stored as a count, offsets (one more than strings) from the buffer's start, and their bytes.
Result<Tensor> strings(const fb::Tensor& t, std::span<const char> data, const std::vector<int64_t>& dims) {
  const auto damaged = [&] { return fail(Code::kDamaged, what(t) + ": its strings do not lie within its buffer"); };
  const auto word = [&](size_t i) {
    uint32_t v = 0;
    std::memcpy(&v, data.data() + 4 * i, 4);
    return static_cast<size_t>(v);
  };
  if (data.size() < 4) return damaged();
  const size_t count = word(0);
  if (count > data.size() / 4 || data.size() < 4 * (count + 2)) return damaged();
  int64_t elements = 1;
  for (const int64_t d : dims) elements *= d;
  if (static_cast<size_t>(elements) != count) return damaged();
  std::vector<std::string> values;
  for (size_t i = 0; i < count; ++i) {
    const size_t from = word(i + 1), to = word(i + 2);
    if (from > to || to > data.size()) return damaged();
    values.emplace_back(data.data() + from, to - from);
  }
  return Tensor::of_strings(dims, std::move(values));
}

std::optional<std::vector<int64_t>> indices(fb::SparseIndexVector kind, const void* v) {
  if (!v) return std::nullopt;
  switch (kind) {
    case fb::SparseIndexVector::Int32Vector:
      return integers(static_cast<const fb::Int32Vector*>(v)->values());
    case fb::SparseIndexVector::Uint16Vector:
      return integers(static_cast<const fb::Uint16Vector*>(v)->values());
    case fb::SparseIndexVector::Uint8Vector:
      return integers(static_cast<const fb::Uint8Vector*>(v)->values());
    default:
      return std::nullopt;
  }
}

// Expands the format's block-sparse tensors: dimensions in traversal order (the blocks' own last), each dense or
// compressed; elements are stored in that order. Returns, for each stored element, its place in the dense tensor.
class Sparse {
 public:
  Sparse(const fb::SparsityParameters& s, std::vector<int64_t> dims) : dims_(std::move(dims)) {
    order_ = integers(s.traversal_order());
    blocks_ = integers(s.block_map());
    const size_t rank = dims_.size(), all = rank + blocks_.size();
    if (order_.size() != all || length(s.dim_metadata()) != all) return;
    std::vector<bool> seen(all, false);
    for (const int64_t o : order_) {
      if (o < 0 || o >= static_cast<int64_t>(all) || seen[static_cast<size_t>(o)]) return;
      seen[static_cast<size_t>(o)] = true;
    }
    block_size_.assign(rank, 1);
    for (size_t level = 0; level < all; ++level) {
      const fb::DimensionMetadata* m = s.dim_metadata()->Get(static_cast<uoffset_t>(level));
      Level l;
      l.dense = m->format() == fb::DimensionType::DENSE;
      l.size = m->dense_size();
      if (l.dense && (l.size < 1 || l.size > int64_t{1} << 31)) return;
      if (!l.dense) {
        auto segments = indices(m->array_segments_type(), m->array_segments());
        auto at = indices(m->array_indices_type(), m->array_indices());
        if (!segments || !at) return;
        l.segments = *std::move(segments);
        l.indices = *std::move(at);
      }
      const auto o = static_cast<size_t>(order_[level]);
      if (o >= rank) {
        const int64_t d = blocks_[o - rank];
        if (d < 0 || d >= static_cast<int64_t>(rank) || !l.dense) return;
        block_size_[static_cast<size_t>(d)] = l.size;
      }
      levels_.push_back(std::move(l));
    }
    ok_ = true;
  }

  /// False if an index lies outside.
  bool places(size_t stored, std::vector<int64_t>& out) {
    index_.assign(levels_.size(), 0);
    return ok_ && walk(0, 0, stored, out) && out.size() == stored;
  }

 private:
  struct Level {
    bool dense = true;
    int64_t size = 0;
    std::vector<int64_t> segments, indices;
  };

  bool walk(size_t level, int64_t parent, size_t most, std::vector<int64_t>& out) {
    if (level == levels_.size()) {
      const size_t rank = dims_.size();
      std::vector<int64_t> at(rank, 0);
      for (size_t l = 0; l < levels_.size(); ++l) {  // the block's coordinate, then the place inside it
        const auto o = static_cast<size_t>(order_[l]);
        const size_t d = o < rank ? o : static_cast<size_t>(blocks_[o - rank]);
        at[d] += o < rank ? index_[l] * block_size_[d] : index_[l];
      }
      int64_t linear = 0;
      for (size_t d = 0; d < rank; ++d) {
        if (at[d] < 0 || at[d] >= dims_[d]) return false;
        linear = linear * dims_[d] + at[d];
      }
      if (out.size() >= most) return false;
      out.push_back(linear);
      return true;
    }
    const Level& l = levels_[level];
    if (l.dense) {
      for (int64_t i = 0; i < l.size; ++i) {
        index_[level] = i;
        if (!walk(level + 1, parent * l.size + i, most, out)) return false;
      }
      return true;
    }
    if (parent < 0 || parent + 1 >= static_cast<int64_t>(l.segments.size())) return false;
    const int64_t from = l.segments[static_cast<size_t>(parent)], to = l.segments[static_cast<size_t>(parent) + 1];
    if (from < 0 || to < from || to > static_cast<int64_t>(l.indices.size())) return false;
    for (int64_t i = from; i < to; ++i) {
      index_[level] = l.indices[static_cast<size_t>(i)];
      if (!walk(level + 1, i, most, out)) return false;
    }
    return true;
  }

  std::vector<int64_t> dims_, order_, blocks_, block_size_, index_;
  std::vector<Level> levels_;
  bool ok_ = false;
};

}  // namespace

std::string name_of(const fb::Tensor& t) { return t.name() ? t.name()->str() : std::string(); }

Result<DType> dtype_of(const fb::Tensor& t) {
  const auto raw = static_cast<size_t>(static_cast<uint8_t>(t.type()));
  if (raw >= std::size(kTypes))
    return fail(Code::kDamaged, what(t) + ": unknown element type " + std::to_string(static_cast<int>(t.type())));
  if (kTypes[raw] == DType::kUndefined)
    return fail(Code::kUnsupported,
                what(t) + ": element type " + fb::EnumNameTensorType(t.type()) + " is not supported");
  return kTypes[raw];
}

Result<std::vector<int64_t>> dims_of(const fb::Tensor& t) {
  auto dims = integers(t.shape());
  if (dims.size() > kMaxRank) return fail(Code::kUnsupported, what(t) + ": rank above 32");
  if (std::ranges::any_of(dims, [](int64_t d) { return d < 0; }))
    return fail(Code::kDamaged, what(t) + ": negative dimension");
  return dims;
}

Result<std::optional<Quantization>> quantization_of(const fb::Tensor& t) {
  const fb::QuantizationParameters* q = t.quantization();
  if (!q || length(q->scale()) == 0) return std::nullopt;
  if (q->details_type() != fb::QuantizationDetails::NONE)
    return fail(Code::kUnsupported, what(t) + ": custom or block-wise quantization is not supported");
  Quantization r;
  for (uoffset_t i = 0; i < q->scale()->size(); ++i) {
    const float s = q->scale()->Get(i);
    if (!std::isfinite(s) || s < 0) return fail(Code::kDamaged, what(t) + ": a scale is negative or not finite");
    r.scales.push_back(s);
  }
  r.zero_points = integers(q->zero_point());
  if (r.zero_points.empty()) r.zero_points.assign(r.scales.size(), 0);
  if (r.scales.size() == 1 && r.scales[0] == 0) return std::nullopt;
  if (r.zero_points.size() != 1 && r.zero_points.size() != r.scales.size())
    return fail(Code::kDamaged, what(t) + ": " + std::to_string(r.scales.size()) + " scales and " +
                                    std::to_string(r.zero_points.size()) + " zero points");
  LATHE_TRY(const DType type, dtype_of(t));
  const DTypeInfo& info = dtype_info(type);
  if (info.is_int && info.bits < 64) {
    const int64_t low = info.is_signed ? -(int64_t{1} << (info.bits - 1)) : 0,
                  high = low + (int64_t{1} << info.bits) - 1;
    if (std::ranges::any_of(r.zero_points, [&](int64_t z) { return z < low || z > high; }))
      return fail(Code::kDamaged, what(t) + ": a zero point is not of type " + std::string(info.name));
  }
  r.axis = q->quantized_dimension();
  if (!r.per_axis()) {
    r.axis = 0;
    return r;
  }
  LATHE_TRY(const auto dims, dims_of(t));
  // A vector has one dimension: some converters wrote the axis of the weights it belongs to.
  if (dims.size() == 1) r.axis = 0;
  if (r.axis < 0 || r.axis >= static_cast<int64_t>(dims.size()) ||
      dims[static_cast<size_t>(r.axis)] != static_cast<int64_t>(r.scales.size()))
    return fail(Code::kDamaged, what(t) + ": " + std::to_string(r.scales.size()) + " scales along dimension " +
                                    std::to_string(q->quantized_dimension()) + " of shape " +
                                    shape_str(to_shape(dims)));
  return r;
}

Result<Model> Model::open(const std::string& path, size_t max_tensor_bytes) {
  Model m;
  LATHE_TRY(m.file_, importer::map_file(path));
  const auto* bytes = reinterpret_cast<const uint8_t*>(m.file_.bytes.data());
  // Data beyond 2 GB lies behind the flatbuffer itself, which offsets of 32 bits cannot address.
  const size_t size = std::min<size_t>(m.file_.bytes.size(), FLATBUFFERS_MAX_BUFFER_SIZE - 1);
  flatbuffers::Verifier verifier(bytes, size, kMaxDepth, kMaxTables);
  if (!fb::VerifyModelBuffer(verifier))
    return fail(Code::kDamaged, path + ": the flatbuffer is cut off or its offsets do not fit");
  m.root_ = fb::GetModel(bytes);
  m.max_bytes_ = max_tensor_bytes;
  return m;
}

Result<int32_t> Model::code(const fb::Operator& op) const {
  if (op.opcode_index() >= length(root_->operator_codes()))
    return fail(Code::kDamaged, "operator code " + std::to_string(op.opcode_index()) + " does not exist");
  const fb::OperatorCode* c = root_->operator_codes()->Get(op.opcode_index());
  return std::max<int32_t>(c->deprecated_builtin_code(), c->builtin_code());
}

std::string Model::custom_name(const fb::Operator& op) const {
  const fb::OperatorCode* c = root_->operator_codes()->Get(op.opcode_index());
  return c->custom_code() ? c->custom_code()->str() : std::string();
}

bool Model::has_data(const fb::Tensor& t) const {
  if (t.external_buffer() != 0) return true;
  if (t.buffer() == 0 || t.buffer() >= length(root_->buffers())) return false;
  const fb::Buffer* b = root_->buffers()->Get(t.buffer());
  return length(b->data()) > 0 || b->offset() > 1;
}

Result<std::span<const char>> Model::data(const fb::Tensor& t) const {
  if (t.external_buffer() != 0)
    return fail(Code::kUnsupported, what(t) + ": its data lies in another file, which is not supported");
  if (t.buffer() >= length(root_->buffers()))
    return fail(Code::kDamaged, what(t) + ": buffer " + std::to_string(t.buffer()) + " does not exist");
  const fb::Buffer* b = root_->buffers()->Get(t.buffer());
  if (b->offset() > 1) {
    const std::string_view all = {file_.bytes.data(), file_.bytes.size()};
    if (b->offset() > all.size() || b->size() > all.size() - b->offset())
      return fail(Code::kDamaged, what(t) + ": its data lies beyond the end of the file");
    return std::span(all.data() + b->offset(), b->size());
  }
  if (!b->data()) return std::span<const char>();
  return std::span(reinterpret_cast<const char*>(b->data()->Data()), b->data()->size());
}

Result<Tensor> Model::constant(const fb::Tensor& t) const {
  LATHE_TRY(const DType type, dtype_of(t));
  LATHE_TRY(const auto dims, dims_of(t));
  LATHE_TRY(const auto bytes, data(t));
  const auto wanted = importer::checked_bytes(type, dims, max_bytes_);
  if (!wanted) return fail(Code::kDamaged, what(t) + ": dimensions give an impossible size");
  if (type == DType::kString) return strings(t, bytes, dims);
  if (const fb::SparsityParameters* s = t.sparsity()) {
    const auto width = static_cast<size_t>(dtype_bits(type) / 8);
    if (width == 0) return fail(Code::kUnsupported, what(t) + ": sparse tensors of this type are not supported");
    std::vector<int64_t> places;
    const size_t stored = bytes.size() / width;
    if (*wanted > 4096 && *wanted / 4096 > bytes.size())
      return fail(Code::kUnsupported, what(t) + ": fewer than one of 4096 elements is stored");
    if (bytes.size() % width != 0 || !Sparse(*s, dims).places(stored, places))
      return fail(Code::kDamaged, what(t) + ": its sparsity does not fit its shape and data");
    Tensor dense = Tensor::zeros(type, dims);
    for (size_t i = 0; i < stored; ++i)
      std::memcpy(dense.mutable_bytes().data() + static_cast<size_t>(places[i]) * width, bytes.data() + i * width,
                  width);
    return dense;
  }
  if (bytes.size() != *wanted)
    return fail(Code::kDamaged, what(t) + ": holds " + std::to_string(bytes.size()) + " bytes, its shape needs " +
                                    std::to_string(*wanted));
  return importer::tensor_over(type, dims, {bytes.data(), bytes.size()}, file_.owner);
}

}  // namespace lathe::tflite
