// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lathe::layout {

// Where things are in an engine file; FORMAT.md says what they mean. Integers are little-endian.

/// A high bit, a line end of each kind and a DOS end-of-file, as in PNG: damage by text-mode transfers shows here.
inline constexpr std::array<uint8_t, 8> kMagic = {0x89, 'L', 'T', 'H', '\r', '\n', 0x1a, '\n'};
inline constexpr uint16_t kMajor = 2, kMinor = 0;

inline constexpr size_t kPrefixSize = 64, kEntrySize = 64;
inline constexpr size_t kAtMajor = 8, kAtMinor = 10, kAtHeaderSize = 12, kAtFileSize = 16, kAtHeadSize = 24,
                        kAtSegmentCount = 32, kAtEntrySize = 36, kAtReserved = 40;

inline constexpr size_t kEntryKind = 0, kEntryTarget = 4, kEntryOffset = 8, kEntryBytes = 16, kEntryHash = 24,
                        kEntryReserved = 56;

/// The header ends with the identity (SHA-256 of all before it), the signer's public key and the signature.
inline constexpr size_t kIdentitySize = 32, kKeySize = 32, kSignatureSize = 64;
inline constexpr size_t kTrailerSize = kIdentitySize + kKeySize + kSignatureSize;

enum class Segment : uint32_t { kMetadata = 1, kWeightTable = 2, kPlan = 3, kCode = 4, kWeights = 5 };
/// A reader that does not know a segment's kind skips it if this bit is set and refuses the file otherwise.
inline constexpr uint32_t kIgnorable = 0x80000000u;
inline constexpr uint32_t kNoTargetIndex = 0xffffffffu;

inline constexpr uint64_t kSegmentAlign = 64, kWeightsAlign = 4096, kBlobAlign = 64;
/// Kernels may read (never use) this much past a weight; the segment ends with as many bytes.
inline constexpr uint64_t kWeightSlack = 64;

inline constexpr uint32_t kMaxSegments = 1024;
inline constexpr uint64_t kMaxHeadSize = uint64_t{1} << 30;
inline constexpr uint32_t kMaxString = 1 << 16, kMaxRank = 64, kMaxAlign = 4096;

constexpr uint64_t align_up(uint64_t n, uint64_t align) { return (n + align - 1) & ~(align - 1); }

}  // namespace lathe::layout
