// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/read.h"

namespace lathe {

/// This user's list of what may run: $XDG_STATE_HOME/lathe/trusted, or ~/.local/state/lathe/trusted. A line is
/// `sha256:` and an engine's identity, or `ed25519:` and a signer's public key, in hexadecimal; others are ignored.
/// "" if there is no home folder.
[[nodiscard]] std::string trust_file();

/// Whether the engine's native code may run: its identity or its (valid) signer is on the list or among `keys`. A list
/// that others than its owner can write, or that belongs to another user, counts as absent.
[[nodiscard]] bool is_trusted(const EngineHead& head, std::span<const PublicKey> keys = {});

/// Appends an engine's identity (as write_engine returns it) to the list; making what was built here run here.
[[nodiscard]] Status trust_engine(std::string_view identity_hex);
/// Appends a signer's public key (64 hexadecimal digits).
[[nodiscard]] Status trust_key(std::string_view key_hex);

}  // namespace lathe
