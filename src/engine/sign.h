// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <string>

#include "base/status.h"
#include "engine/read.h"

namespace lathe {

// Signing is for those who build and ship; the runtime links none of it.

using SecretKey = std::array<std::byte, 64>;  ///< Ed25519: seed, then public key

struct KeyPair {
  PublicKey public_key;
  SecretKey secret_key;
};

/// From the system's random numbers.
[[nodiscard]] KeyPair generate_key();

/// Checks the engine file in full, then replaces its signature (atomically). Its identity stays the same.
[[nodiscard]] Status sign_engine(const std::string& path, const SecretKey& key);

}  // namespace lathe
