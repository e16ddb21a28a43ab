// SPDX-License-Identifier: Apache-2.0
#include "engine/write.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "base/sha256.h"
#include "engine/codec.h"
#include "engine/kernel_abi.h"
#include "engine/layout.h"
#include "engine/validate.h"

namespace lathe {
namespace {

using namespace layout;
using Bytes = std::span<const std::byte>;
constexpr std::array<std::byte, kBlobAlign> kZeros{};
static_assert(kWeightSlack <= kZeros.size());

template <class T>
void store(std::vector<std::byte>& b, size_t at, T v) {
  for (size_t i = 0; i < sizeof(T); ++i) b[at + i] = static_cast<std::byte>(static_cast<uint64_t>(v) >> (8 * i));
}
void store(std::vector<std::byte>& b, size_t at, Bytes bytes) {
  std::copy(bytes.begin(), bytes.end(), b.begin() + static_cast<ptrdiff_t>(at));
}
template <class T>
std::vector<std::byte> encode(const T& v) {
  Encoder e;
  e(v);
  return e.take();
}

struct SegmentBytes {
  Segment kind;
  uint32_t target;
  std::vector<std::byte> bytes;
};

/// The file as pieces: the head, then the weights where the caller has them, with zeros between.
struct Pieces {
  std::vector<std::byte> head;
  std::vector<Bytes> all;  // all[0] is the head
  Sha256 identity{};
};

Status check(const EngineContents& c) {
  std::vector<uint64_t> sizes;
  for (Bytes w : c.weights) sizes.push_back(w.size());
  if (c.targets.empty() || 2 * c.targets.size() + 3 > kMaxSegments)
    return fail(Code::kUsage, "an engine needs between one and 510 targets");
  for (const EngineTarget& t : c.targets)
    if (auto s = validate_plan(t.plan, sizes, t.code.size()); !s)
      return fail(s.error().code, "target " + t.name + ": " + s.error().message);
  return {};
}

template <class T>
bool readable(std::span<const std::byte> b) {
  T v;
  Decoder d(b);
  d(v);
  return d.complete();
}

/// Readers limit the length of strings: what exceeds that must fail here, not on the user's device.
Status check_readable(const std::vector<SegmentBytes>& segments) {
  for (const SegmentBytes& s : segments)
    if ((s.kind == Segment::kMetadata && !readable<Metadata>(s.bytes)) ||
        (s.kind == Segment::kPlan && !readable<Plan>(s.bytes)))
      return fail(Code::kUnsupported, "a name in the engine is longer than " + std::to_string(kMaxString) + " bytes");
  return {};
}

std::vector<SegmentBytes> head_segments(const EngineContents& c, const std::vector<BlobEntry>& blobs) {
  Metadata meta;
  for (const auto& [key, value] : c.provenance) meta.provenance.push_back({key, value});
  for (const EngineTarget& t : c.targets) meta.targets.push_back({t.name, t.arch, t.features, LATHE_KERNEL_ABI});
  std::vector<SegmentBytes> out;
  out.push_back({Segment::kMetadata, kNoTargetIndex, encode(meta)});
  out.push_back({Segment::kWeightTable, kNoTargetIndex, encode(blobs)});
  for (size_t i = 0; i < c.targets.size(); ++i) {
    out.push_back({Segment::kPlan, static_cast<uint32_t>(i), encode(c.targets[i].plan)});
    out.push_back({Segment::kCode, static_cast<uint32_t>(i), c.targets[i].code});
  }
  return out;
}

/// Appends the weights to `p.all` and returns where each blob starts.
std::vector<BlobEntry> lay_weights(const EngineContents& c, Pieces& p, uint64_t& bytes, Sha256& hash) {
  std::vector<BlobEntry> blobs;
  Sha256Stream stream;
  uint64_t at = 0;
  const auto add = [&](Bytes b) {
    if (b.empty()) return;
    p.all.push_back(b);
    stream.update(b);
    at += b.size();
  };
  for (Bytes w : c.weights) {
    blobs.push_back({at, w.size()});
    add(w);
    add(Bytes(kZeros).first(align_up(at, kBlobAlign) - at));
  }
  add(Bytes(kZeros).first(kWeightSlack));
  bytes = at;
  hash = stream.finish();
  return blobs;
}

Result<Pieces> lay_out(const EngineContents& c) {
  LATHE_CHECK(check(c));
  Pieces p;
  p.all.emplace_back();  // the head, once it is complete
  uint64_t weights_bytes = 0;
  Sha256 weights_hash{};
  const std::vector<BlobEntry> blobs = lay_weights(c, p, weights_bytes, weights_hash);
  const std::vector<SegmentBytes> segments = head_segments(c, blobs);
  LATHE_CHECK(check_readable(segments));

  const size_t count = segments.size() + 1, header_size = kPrefixSize + count * kEntrySize + kTrailerSize;
  std::vector<std::byte>& h = p.head;
  h.resize(header_size);
  const auto entry = [&](size_t i, Segment kind, uint32_t target, uint64_t offset, uint64_t bytes, const Sha256& hash) {
    const size_t at = kPrefixSize + i * kEntrySize;
    store(h, at + kEntryKind, static_cast<uint32_t>(kind));
    store(h, at + kEntryTarget, target);
    store(h, at + kEntryOffset, offset);
    store(h, at + kEntryBytes, bytes);
    store(h, at + kEntryHash, Bytes(hash));
  };
  for (size_t i = 0; i < segments.size(); ++i) {
    const SegmentBytes& s = segments[i];
    const size_t offset = align_up(h.size(), kSegmentAlign);
    h.resize(offset + s.bytes.size());
    store(h, offset, Bytes(s.bytes));
    entry(i, s.kind, s.target, offset, s.bytes.size(), sha256(s.bytes));
  }
  h.resize(align_up(h.size(), kWeightsAlign));
  if (h.size() > kMaxHeadSize) return fail(Code::kUnsupported, "the engine's code and plans exceed 1 GiB");
  entry(segments.size(), Segment::kWeights, kNoTargetIndex, h.size(), weights_bytes, weights_hash);

  for (size_t i = 0; i < kMagic.size(); ++i) h[i] = static_cast<std::byte>(kMagic[i]);
  store(h, kAtMajor, kMajor);
  store(h, kAtMinor, kMinor);
  store(h, kAtHeaderSize, static_cast<uint32_t>(header_size));
  store(h, kAtFileSize, uint64_t{h.size()} + weights_bytes);
  store(h, kAtHeadSize, uint64_t{h.size()});
  store(h, kAtSegmentCount, static_cast<uint32_t>(count));
  store(h, kAtEntrySize, static_cast<uint32_t>(kEntrySize));
  p.identity = sha256(Bytes(h).first(header_size - kTrailerSize));
  store(h, header_size - kTrailerSize, Bytes(p.identity));
  p.all[0] = h;
  return p;
}

}  // namespace

Result<std::string> write_engine(const std::string& path, const EngineContents& contents,
                                 const std::atomic<bool>* cancel) {
  LATHE_TRY(const Pieces p, lay_out(contents));
  LATHE_CHECK(write_file_atomically(path, p.all, cancel));
  return to_hex(p.identity);
}

Result<std::vector<std::byte>> serialize_engine(const EngineContents& contents) {
  LATHE_TRY(const Pieces p, lay_out(contents));
  std::vector<std::byte> out;
  for (Bytes b : p.all) out.insert(out.end(), b.begin(), b.end());
  return out;
}

}  // namespace lathe
