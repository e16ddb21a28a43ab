// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "target/target.h"

extern "C" {
extern const unsigned char lathe_longtail_x86_64[], lathe_longtail_aarch64[];
extern const size_t lathe_longtail_x86_64_size, lathe_longtail_aarch64_size;
}

namespace lathe::codegen {

/// The long-tail kernels (src/codegen/longtail) as LLVM bitcode for an architecture.
inline std::span<const unsigned char> longtail_bitcode(Arch arch) {
  return arch == Arch::kX86_64 ? std::span(lathe_longtail_x86_64, lathe_longtail_x86_64_size)
                               : std::span(lathe_longtail_aarch64, lathe_longtail_aarch64_size);
}

}  // namespace lathe::codegen
