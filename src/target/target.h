// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lathe {

enum class Arch : uint8_t { kX86_64, kAArch64 };

/// Whether one instruction adds the products of four neighbouring bytes to a 32-bit lane, and of which signs: those of
/// an activation by those of a weight.
enum class Dot8 : uint8_t { kNone, kUnsignedBySigned /* VPDPBUSD */, kSignedBySigned /* SDOT */ };

/// One instruction-set level that engines are built for. Data only: kernels ask for what they need (vector width,
/// register count), never for a target by name.
struct Target {
  std::string_view name;  ///< as in `--target`
  Arch arch = Arch::kX86_64;
  std::string_view triple, cpu, features;  ///< for LLVM
  std::vector<std::string_view> needs;     ///< CPU features that the loader checks
  int vector_bits = 0;
  int vector_registers = 0;
  bool masked_access = false;      ///< masked vector loads and stores are cheap for 32-bit lanes
  bool broadcast_operand = false;  ///< an FMA can broadcast a scalar from memory
  bool lane_fma = false;           ///< an FMA can take one lane of a vector register (NEON)
  Dot8 dot8 = Dot8::kNone;
  bool dot8_emulated = false;  ///< with other instructions: tests of machines that are not there
  int64_t l1_bytes = 32 << 10, l2_bytes = 512 << 10;
  [[nodiscard]] int f32_lanes() const { return vector_bits / 32; }
};

std::span<const Target> all_targets();
/// By name; "host" is the best level this machine runs.
Result<const Target*> find_target(std::string_view name);
/// True if this machine can run code for `t`.
bool runs_here(const Target& t);

}  // namespace lathe
