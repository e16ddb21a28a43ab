// SPDX-License-Identifier: Apache-2.0
#include "engine/sign.h"

#include <sodium/crypto_sign_ed25519.h>

#include <algorithm>

#include "base/atomic_file.h"
#include "engine/layout.h"

namespace lathe {
namespace {

template <class B>
auto* raw(B* p) {
  if constexpr (std::is_const_v<B>)
    return reinterpret_cast<const unsigned char*>(p);
  else
    return reinterpret_cast<unsigned char*>(p);
}

}  // namespace

KeyPair generate_key() {
  KeyPair k;
  crypto_sign_ed25519_keypair(raw(k.public_key.data()), raw(k.secret_key.data()));
  return k;
}

Status sign_engine(const std::string& path, const SecretKey& key) {
  LATHE_TRY(const File file, File::open(path));
  LATHE_CHECK(verify_engine(file));
  LATHE_TRY(const EngineHead engine, read_head(file));
  LATHE_TRY(const Mapping weights, file.map(engine.weights_offset, engine.weights_bytes));

  std::vector<std::byte> head = engine.bytes;
  const size_t header_size = static_cast<size_t>(std::to_integer<uint32_t>(head[layout::kAtHeaderSize]) |
                                                 std::to_integer<uint32_t>(head[layout::kAtHeaderSize + 1]) << 8 |
                                                 std::to_integer<uint32_t>(head[layout::kAtHeaderSize + 2]) << 16 |
                                                 std::to_integer<uint32_t>(head[layout::kAtHeaderSize + 3]) << 24);
  const size_t key_at = header_size - layout::kKeySize - layout::kSignatureSize;
  std::copy(key.begin() + 32, key.end(), head.begin() + static_cast<ptrdiff_t>(key_at));
  if (crypto_sign_ed25519_detached(raw(head.data() + key_at + layout::kKeySize), nullptr, raw(engine.bytes.data()),
                                   key_at, raw(key.data())) != 0)
    return fail(Code::kFailed, path + ": signing failed");
  const std::span<const std::byte> pieces[] = {head, weights.bytes()};
  return write_file_atomically(path, pieces);
}

}  // namespace lathe
