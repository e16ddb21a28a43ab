// SPDX-License-Identifier: Apache-2.0
#include "base/sha256.h"

#include <sodium/crypto_hash_sha256.h>

namespace lathe {
namespace {

using State = crypto_hash_sha256_state;
const unsigned char* raw(std::span<const std::byte> s) { return reinterpret_cast<const unsigned char*>(s.data()); }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Sha256 sha256(std::span<const std::byte> bytes) {
  Sha256 out;
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(out.data()), raw(bytes), bytes.size());
  return out;
}

Sha256Stream::Sha256Stream() {
  static_assert(sizeof(State) <= sizeof(state_) && alignof(State) <= 8);
  crypto_hash_sha256_init(reinterpret_cast<State*>(state_));
}

void Sha256Stream::update(std::span<const std::byte> bytes) {
  crypto_hash_sha256_update(reinterpret_cast<State*>(state_), raw(bytes), bytes.size());
}

Sha256 Sha256Stream::finish() {
  Sha256 out;
  crypto_hash_sha256_final(reinterpret_cast<State*>(state_), reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (std::byte b : bytes) {
    hex += kDigits[static_cast<unsigned>(b) >> 4];
    hex += kDigits[static_cast<unsigned>(b) & 15];
  }
  return hex;
}

std::optional<Sha256> hash_from_hex(std::string_view hex) {
  Sha256 out;
  if (hex.size() != 2 * out.size()) return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out[i] = static_cast<std::byte>(high * 16 + low);
  }
  return out;
}

}  // namespace lathe

/// libsodium's own lives in the object that selects among all its algorithms, and would link every one of them. Weak:
/// programs that use more of libsodium keep theirs.
extern "C" __attribute__((weak)) void sodium_misuse(void) { __builtin_trap(); }
