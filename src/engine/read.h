// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/status.h"
#include "engine/codec.h"
#include "engine/plan.h"

namespace lathe {

using PublicKey = std::array<std::byte, 32>;

/// Everything of an engine but its weights: checked, hashed, in private memory (a file can change behind a mapping, a
/// copy cannot). Spans point into `bytes`, hence move-only.
struct EngineHead {
  struct Target : TargetMeta {
    std::span<const std::byte> plan, code;
    Sha256 code_hash{};
  };

  EngineHead() = default;
  EngineHead(EngineHead&&) = default;
  EngineHead& operator=(EngineHead&&) = default;
  EngineHead(const EngineHead&) = delete;
  EngineHead& operator=(const EngineHead&) = delete;

  std::vector<std::byte> bytes;
  Sha256 identity{};       ///< covers header and, through the hashes there, every segment; not the signature
  bool is_signed = false;  ///< by `signer`; the signature is valid, whether the signer is trusted is another matter
  PublicKey signer{};
  std::vector<Property> provenance;
  std::vector<Target> targets;
  std::vector<BlobEntry> blobs;
  uint64_t weights_offset = 0, weights_bytes = 0;
  Sha256 weights_hash{};
};

/// Reads and checks all but the plans' contents and the weights. kDamaged: not an engine, cut, or malformed.
/// kIntegrity: a hash or the signature does not match. kUnsupported: made by a later major version.
[[nodiscard]] Result<EngineHead> read_head(const File& file);
[[nodiscard]] Result<EngineHead> read_head(std::span<const std::byte> file);

/// The plan of one target, validated.
[[nodiscard]] Result<Plan> read_plan(const EngineHead& head, size_t target);

/// Compares the weights segment with its hash (kIntegrity): slow for large models, so loading does not do it.
[[nodiscard]] Status check_weights(const EngineHead& head, std::span<const std::byte> weights);

/// All checks there are: head, every plan, weights.
[[nodiscard]] Status verify_engine(const File& file);

}  // namespace lathe
