// SPDX-License-Identifier: Apache-2.0
#include "target/target.h"

#include "base/cpu_features.h"

namespace lathe {

std::span<const Target> all_targets() {
  static const std::vector<Target> targets = [] {
    std::vector<Target> t;
    t.push_back({.name = "x86-64-avx512vnni",
                 .arch = Arch::kX86_64,
                 .triple = "x86_64-unknown-linux-gnu",
                 .cpu = "x86-64-v4",
                 .features = "+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd,+avx512vnni,+fma,-prefer-256-bit",
                 .needs = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "fma"},
                 .vector_bits = 512,
                 .vector_registers = 32,
                 .masked_access = true,
                 .broadcast_operand = true,
                 .lane_fma = false,
                 .dot8 = Dot8::kUnsignedBySigned,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 1 << 20});
    t.push_back({.name = "x86-64-avx512",
                 .arch = Arch::kX86_64,
                 .triple = "x86_64-unknown-linux-gnu",
                 .cpu = "x86-64-v4",
                 .features = "+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd,+fma,-prefer-256-bit",
                 .needs = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "fma"},
                 .vector_bits = 512,
                 .vector_registers = 32,
                 .masked_access = true,
                 .broadcast_operand = true,
                 .lane_fma = false,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 1 << 20});
    t.push_back({.name = "x86-64-avxvnni",
                 .arch = Arch::kX86_64,
                 .triple = "x86_64-unknown-linux-gnu",
                 .cpu = "x86-64-v3",
                 .features = "+avx2,+avxvnni,+fma,+f16c,+bmi,+bmi2",
                 .needs = {"avx2", "avxvnni", "fma", "f16c"},
                 .vector_bits = 256,
                 .vector_registers = 16,
                 .masked_access = true,
                 .broadcast_operand = false,
                 .lane_fma = false,
                 .dot8 = Dot8::kUnsignedBySigned,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 512 << 10});
    t.push_back({.name = "x86-64-avx2",
                 .arch = Arch::kX86_64,
                 .triple = "x86_64-unknown-linux-gnu",
                 .cpu = "x86-64-v3",
                 .features = "+avx2,+fma,+f16c,+bmi,+bmi2",
                 .needs = {"avx2", "fma", "f16c"},
                 .vector_bits = 256,
                 .vector_registers = 16,
                 .masked_access = true,
                 .broadcast_operand = false,
                 .lane_fma = false,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 512 << 10});
    t.push_back({.name = "aarch64-dotprod",
                 .arch = Arch::kAArch64,
                 .triple = "aarch64-unknown-linux-gnu",
                 .cpu = "generic",
                 .features = "+neon,+dotprod",
                 .needs = {"neon", "dotprod"},
                 .vector_bits = 128,
                 .vector_registers = 32,
                 .masked_access = false,
                 .broadcast_operand = false,
                 .lane_fma = true,
                 .dot8 = Dot8::kSignedBySigned,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 512 << 10});
    t.push_back({.name = "aarch64-neon",
                 .arch = Arch::kAArch64,
                 .triple = "aarch64-unknown-linux-gnu",
                 .cpu = "generic",
                 .features = "+neon",
                 .needs = {"neon"},
                 .vector_bits = 128,
                 .vector_registers = 32,
                 .masked_access = false,
                 .broadcast_operand = false,
                 .lane_fma = true,
                 .l1_bytes = 32 << 10,
                 .l2_bytes = 512 << 10});
    return t;
  }();
  return targets;
}

bool runs_here(const Target& t) {
  const HostCpu& cpu = host_cpu();
  const std::string_view arch = t.arch == Arch::kX86_64 ? "x86_64" : "aarch64";
  if (cpu.arch != arch) return false;
  for (const auto need : t.needs)
    if (!cpu.has(need)) return false;
  return true;
}

Result<const Target*> find_target(std::string_view name) {
  for (const Target& t : all_targets())
    if (name == t.name || (name == "host" && runs_here(t))) return &t;
  std::string known;
  for (const Target& t : all_targets()) known += (known.empty() ? "" : ", ") + std::string(t.name);
  if (name == "host")
    return fail(Code::kNoTarget, "this machine runs none of the targets (" + known +
                                     "); name one with --target to build for another machine");
  return fail(Code::kUsage, "no target is named \"" + std::string(name) + "\"; there are: host, " + known);
}

}  // namespace lathe
