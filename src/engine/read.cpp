// SPDX-License-Identifier: Apache-2.0
#include "engine/read.h"

#include <sodium/crypto_sign_ed25519.h>

#include <algorithm>

#include "engine/validate.h"

namespace lathe {
namespace {

using namespace layout;
using Bytes = std::span<const std::byte>;

template <class T>
T load(Bytes b, size_t at) {
  uint64_t v = 0;
  for (size_t i = 0; i < sizeof(T); ++i) v |= static_cast<uint64_t>(b[at + i]) << (8 * i);
  return static_cast<T>(v);
}
Sha256 load_hash(Bytes b, size_t at) {
  Sha256 h;
  std::copy_n(b.begin() + static_cast<ptrdiff_t>(at), h.size(), h.begin());
  return h;
}
bool all_zero(Bytes b) {
  return std::all_of(b.begin(), b.end(), [](std::byte x) { return x == std::byte{0}; });
}
std::unexpected<Error> damaged(const char* what) {
  return fail(Code::kDamaged, std::string("damaged engine: ") + what);
}
std::unexpected<Error> altered(const char* what) {
  return fail(Code::kIntegrity, std::string("the engine was altered or damaged: ") + what);
}

struct Prefix {
  uint64_t header_size, head_size, segments;
};

Result<Prefix> read_prefix(Bytes b, uint64_t file_size) {
  if (b.size() < kPrefixSize || !std::equal(kMagic.begin(), kMagic.end(), b.begin(),
                                            [](uint8_t m, std::byte x) { return static_cast<std::byte>(m) == x; }))
    return fail(Code::kDamaged, "not a lathe engine (or its first bytes are damaged)");
  const auto major = load<uint16_t>(b, kAtMajor), minor = load<uint16_t>(b, kAtMinor);
  if (major != kMajor)
    return fail(Code::kUnsupported, "engine format " + std::to_string(major) + "." + std::to_string(minor) +
                                        "; this lathe reads " + std::to_string(kMajor) +
                                        ".x: build the engine again with this version");
  const auto count = load<uint32_t>(b, kAtSegmentCount), entry = load<uint32_t>(b, kAtEntrySize);
  if (count == 0 || count > kMaxSegments || entry != kEntrySize || !all_zero(b.subspan(kAtReserved, 24)))
    return damaged("its header makes no sense");
  const Prefix p{load<uint32_t>(b, kAtHeaderSize), load<uint64_t>(b, kAtHeadSize), count};
  if (p.header_size != kPrefixSize + uint64_t{count} * kEntrySize + kTrailerSize)
    return damaged("its header makes no sense");
  const auto size = load<uint64_t>(b, kAtFileSize);
  if (size != file_size)
    return fail(Code::kDamaged, "damaged engine: it should have " + std::to_string(size) + " bytes and has " +
                                    std::to_string(file_size) + " (an incomplete copy?)");
  if (p.head_size < p.header_size || p.head_size > size || p.head_size > kMaxHeadSize)
    return damaged("its header makes no sense");
  return p;
}

struct Entry {
  uint32_t kind, target;
  uint64_t offset, bytes;
  Sha256 hash;
};

Status check_signature(EngineHead& head, uint64_t header_size) {
  const Bytes b = head.bytes;
  const size_t at = header_size - kTrailerSize;
  head.identity = load_hash(b, at);
  if (sha256(b.first(at)) != head.identity) return altered("its header does not match its hash");
  const Bytes key = b.subspan(at + kIdentitySize, kKeySize);
  const Bytes signature = b.subspan(at + kIdentitySize + kKeySize, kSignatureSize);
  if (all_zero(key) && all_zero(signature)) return {};
  const auto raw = [](Bytes s) { return reinterpret_cast<const unsigned char*>(s.data()); };
  if (crypto_sign_ed25519_verify_detached(raw(signature), raw(b), at + kIdentitySize, raw(key)) != 0)
    return altered("its signature does not match");
  head.is_signed = true;
  std::copy(key.begin(), key.end(), head.signer.begin());
  return {};
}

/// Segments follow one another in the order of the table, with zeros up to the next one's alignment between them, so
/// that no byte of the head escapes the hashes.
Status check_gaps(Bytes head, const std::vector<Entry>& entries, uint64_t header_size, uint64_t file_size) {
  uint64_t end = header_size;
  for (const Entry& e : entries) {
    const bool weights = e.kind == static_cast<uint32_t>(Segment::kWeights);
    if (e.offset != align_up(end, weights ? kWeightsAlign : kSegmentAlign) || e.bytes > file_size ||
        e.offset > file_size - e.bytes)
      return damaged("a segment lies outside the file or over another");
    if (weights != (&e == &entries.back()) || (weights ? e.offset != head.size() : e.offset + e.bytes > head.size()))
      return damaged("its weights are not where they should be");
    if (!all_zero(head.subspan(end, e.offset - end))) return damaged("bytes between its segments are not zero");
    end = e.offset + e.bytes;
  }
  if (end != file_size) return damaged("something follows its last segment");
  return {};
}

template <class T>
Result<T> decode(Bytes b, const char* what) {
  T v;
  Decoder d(b);
  d(v);
  if (!d.complete()) return damaged(what);
  return v;
}

Status read_blobs(EngineHead& head, Bytes table) {
  LATHE_TRY(head.blobs, decode<std::vector<BlobEntry>>(table, "its weight table is malformed"));
  if (head.weights_bytes < kWeightSlack) return damaged("its weights are incomplete");
  const uint64_t end = head.weights_bytes - kWeightSlack;
  for (const BlobEntry& b : head.blobs)
    if (b.offset % kBlobAlign != 0 || b.bytes > end || b.offset > end - b.bytes)
      return damaged("a weight lies outside the weights");
  return {};
}

Status read_segments(EngineHead& head, const std::vector<Entry>& entries) {
  const Bytes all = head.bytes;
  Bytes metadata, table;
  std::vector<const Entry*> plans, codes;
  for (const Entry& e : entries) {
    const bool per_target =
        e.kind == static_cast<uint32_t>(Segment::kPlan) || e.kind == static_cast<uint32_t>(Segment::kCode);
    if (!per_target && e.target != kNoTargetIndex && !(e.kind & kIgnorable)) return damaged("a segment names a target");
    if (e.kind == static_cast<uint32_t>(Segment::kWeights)) {
      head.weights_offset = e.offset;
      head.weights_bytes = e.bytes;
      head.weights_hash = e.hash;
      continue;
    }
    const Bytes b = all.subspan(e.offset, e.bytes);
    if (sha256(b) != e.hash) return altered("a segment does not match its hash");
    if (e.kind == static_cast<uint32_t>(Segment::kMetadata))
      metadata = b;
    else if (e.kind == static_cast<uint32_t>(Segment::kWeightTable))
      table = b;
    else if (e.kind == static_cast<uint32_t>(Segment::kPlan))
      plans.push_back(&e);
    else if (e.kind == static_cast<uint32_t>(Segment::kCode))
      codes.push_back(&e);
    else if (!(e.kind & kIgnorable))
      return fail(Code::kUnsupported, "the engine needs a newer lathe: segment kind " + std::to_string(e.kind));
  }
  LATHE_TRY(Metadata meta, decode<Metadata>(metadata, "its metadata is malformed"));
  head.provenance = std::move(meta.provenance);
  if (meta.targets.size() != plans.size() || meta.targets.size() != codes.size())
    return damaged("targets, plans and code do not match");
  for (size_t i = 0; i < plans.size(); ++i) {
    if (plans[i]->target != i || codes[i]->target != i) return damaged("targets, plans and code do not match");
    EngineHead::Target t{std::move(meta.targets[i]), all.subspan(plans[i]->offset, plans[i]->bytes),
                         all.subspan(codes[i]->offset, codes[i]->bytes), codes[i]->hash};
    head.targets.push_back(std::move(t));
  }
  return read_blobs(head, table);
}

Result<EngineHead> parse_head(EngineHead head, const Prefix& prefix, uint64_t file_size) {
  const Bytes b = head.bytes;
  LATHE_CHECK(check_signature(head, prefix.header_size));
  std::vector<Entry> entries;
  for (size_t i = 0; i < prefix.segments; ++i) {
    const size_t at = kPrefixSize + i * kEntrySize;
    if (load<uint64_t>(b, at + kEntryReserved) != 0) return damaged("its segment table makes no sense");
    entries.push_back({load<uint32_t>(b, at + kEntryKind), load<uint32_t>(b, at + kEntryTarget),
                       load<uint64_t>(b, at + kEntryOffset), load<uint64_t>(b, at + kEntryBytes),
                       load_hash(b, at + kEntryHash)});
  }
  LATHE_CHECK(check_gaps(b, entries, prefix.header_size, file_size));
  LATHE_CHECK(read_segments(head, entries));
  return head;
}

}  // namespace

Result<EngineHead> read_head(const File& file) {
  std::array<std::byte, kPrefixSize> first{};
  if (file.size() < first.size()) return fail(Code::kDamaged, "not a lathe engine (too short)");
  LATHE_CHECK(file.read(0, first));
  LATHE_TRY(const Prefix prefix, read_prefix(first, file.size()));
  EngineHead head;
  head.bytes.resize(prefix.head_size);
  LATHE_CHECK(file.read(0, head.bytes));
  // The file may have changed since: only what is in memory now counts.
  LATHE_TRY(const Prefix again, read_prefix(head.bytes, file.size()));
  if (again.head_size != prefix.head_size) return damaged("it changed while it was read");
  return parse_head(std::move(head), again, file.size());
}

Result<EngineHead> read_head(Bytes file) {
  LATHE_TRY(const Prefix prefix, read_prefix(file, file.size()));
  EngineHead head;
  head.bytes.assign(file.begin(), file.begin() + static_cast<ptrdiff_t>(prefix.head_size));
  return parse_head(std::move(head), prefix, file.size());
}

Result<Plan> read_plan(const EngineHead& head, size_t target) {
  const EngineHead::Target& t = head.targets[target];
  LATHE_TRY(Plan plan, decode<Plan>(t.plan, "a plan is malformed"));
  std::vector<uint64_t> sizes;
  for (const BlobEntry& b : head.blobs) sizes.push_back(b.bytes);
  LATHE_CHECK(validate_plan(plan, sizes, t.code.size()));
  return plan;
}

Status check_weights(const EngineHead& head, Bytes weights) {
  if (weights.size() != head.weights_bytes) return damaged("its weights are incomplete");
  if (sha256(weights) != head.weights_hash) return altered("its weights do not match their hash");
  return {};
}

Status verify_engine(const File& file) {
  LATHE_TRY(const EngineHead head, read_head(file));
  for (size_t i = 0; i < head.targets.size(); ++i) LATHE_CHECK(read_plan(head, i));
  LATHE_TRY(const Mapping weights, file.map(head.weights_offset, head.weights_bytes));
  return check_weights(head, weights.bytes());
}

}  // namespace lathe
