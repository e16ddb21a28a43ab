// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

using Sha256 = std::array<std::byte, 32>;

/// SHA-256 (FIPS 180-4) of `bytes`.
[[nodiscard]] Sha256 sha256(std::span<const std::byte> bytes);

/// SHA-256 of data that arrives in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] Sha256 finish();

 private:
  alignas(8) std::byte state_[128];
};

/// Lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);
/// 32 bytes from exactly 64 hexadecimal digits.
[[nodiscard]] std::optional<Sha256> hash_from_hex(std::string_view hex);

}  // namespace lathe
