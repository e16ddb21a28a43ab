// SPDX-License-Identifier: Apache-2.0
// The reader of engine files on arbitrary bytes, and validation of arbitrary plans. Random bytes never pass the hashes,
// so the first byte chooses: a whole file; a file whose hashes are made right; a plan alone.
#include <cstdlib>
#include <cstring>

#include "base/sha256.h"
#include "engine/codec.h"
#include "engine/layout.h"
#include "engine/read.h"
#include "engine/size_program.h"
#include "engine/validate.h"

namespace {

using namespace lathe;
using Bytes = std::span<const std::byte>;

uint64_t load(Bytes b, size_t at, size_t size) {
  uint64_t v = 0;
  for (size_t i = 0; i < size; ++i) v |= std::to_integer<uint64_t>(b[at + i]) << (8 * i);
  return v;
}

/// Makes every hash match as far as the tables make sense, as an attacker would.
void repair(std::vector<std::byte>& file) {
  using namespace layout;
  if (file.size() < kPrefixSize) return;
  const uint64_t header = load(file, kAtHeaderSize, 4), count = load(file, kAtSegmentCount, 4);
  if (header != kPrefixSize + count * kEntrySize + kTrailerSize || header > file.size()) return;
  const auto put = [&](size_t at, const Sha256& h) { std::memcpy(file.data() + at, h.data(), h.size()); };
  for (size_t i = 0; i < count; ++i) {
    const size_t at = kPrefixSize + i * kEntrySize;
    const uint64_t offset = load(file, at + kEntryOffset, 8), bytes = load(file, at + kEntryBytes, 8);
    if (offset <= file.size() && bytes <= file.size() - offset)
      put(at + kEntryHash, sha256(Bytes(file).subspan(offset, bytes)));
  }
  put(header - kTrailerSize, sha256(Bytes(file).first(header - kTrailerSize)));
}

void use(const Plan& plan) {
  for (const PlanBuffer& b : plan.buffers) (void)size_format(plan, b.dims);
  Sizes symbols(plan.symbols.size()), sizes(plan.exprs.size());
  for (size_t i = 0; i < plan.symbols.size(); ++i) symbols.set(i, plan.symbols[i].opt);
  (void)size_evaluate_all(plan, symbols, sizes);
}

void read_file(Bytes file) {
  const auto head = read_head(file);
  if (!head) return;
  for (const BlobEntry& b : head->blobs)
    if (b.offset + b.bytes > head->weights_bytes) std::abort();
  for (size_t i = 0; i < head->targets.size(); ++i)
    if (const auto plan = read_plan(*head, i)) use(*plan);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 3) {
    case 0:
      read_file(rest);
      break;
    case 1: {
      std::vector<std::byte> file(rest.begin(), rest.end());
      repair(file);
      read_file(file);
      break;
    }
    default: {
      Plan plan;
      Decoder d(rest);
      d(plan);
      const uint64_t weights[] = {16, 1000};
      if (d.complete() && validate_plan(plan, weights, 100)) use(plan);
    }
  }
  return 0;
}
