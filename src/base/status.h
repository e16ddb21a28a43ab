// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace lathe {

/// Why something failed. The value is the exit code of the command line (contract: DESIGN section 9) and the
/// `lathe_status` of the C ABI.
enum class Code : int {
  kOk = 0,
  kFailed = 1,        ///< it failed while running: I/O, disk full, out of memory
  kUsage = 2,         ///< wrong arguments, input names, types or shapes
  kUnsupported = 3,   ///< the model uses what is not supported, or exceeds a resource limit
  kDamaged = 4,       ///< damaged file, unknown format, missing external data
  kIntegrity = 5,     ///< checksum or signature
  kNoTarget = 6,      ///< no code in the engine for this device
  kInterrupted = 130  ///< the caller asked to stop
};

/// A failure: a code for programs, a sentence for people (where, what, why, what to do).
struct Error {
  Code code = Code::kFailed;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

#define LATHE_CAT_(a, b) a##b
#define LATHE_CAT(a, b) LATHE_CAT_(a, b)
/// `LATHE_TRY(auto x, f());` declares x from a Result or returns its error; `LATHE_CHECK(g());` does so for a Status.
#define LATHE_TRY(decl, ...)                                                                    \
  auto LATHE_CAT(lathe_try_, __LINE__) = (__VA_ARGS__);                                         \
  if (!LATHE_CAT(lathe_try_, __LINE__))                                                         \
    return std::unexpected<::lathe::Error>(std::move(LATHE_CAT(lathe_try_, __LINE__)).error()); \
  decl = *std::move(LATHE_CAT(lathe_try_, __LINE__))
#define LATHE_CHECK(...)                                                       \
  do {                                                                         \
    if (auto lathe_check_ = (__VA_ARGS__); !lathe_check_)                      \
      return std::unexpected<::lathe::Error>(std::move(lathe_check_).error()); \
  } while (false)

}  // namespace lathe
