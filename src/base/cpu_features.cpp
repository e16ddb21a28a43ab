// SPDX-License-Identifier: Apache-2.0
#include "base/cpu_features.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) || defined(__riscv)
#include <sys/auxv.h>
#endif

namespace lathe {
namespace {

#if defined(__x86_64__)

enum Register { kEax, kEbx, kEcx, kEdx };
/// Which XCR0 state the operating system must save for a feature to be usable.
enum State : uint32_t { kNoState = 0, kAvx = 0x6, kAvx512 = 0xe6, kAmx = 0x60006 };

struct Bit {
  const char* feature;
  uint32_t leaf, subleaf;
  Register reg;
  int bit;
  State state;
};

constexpr Bit kBits[] = {
    {"sse3", 1, 0, kEcx, 0, kNoState},
    {"ssse3", 1, 0, kEcx, 9, kNoState},
    {"fma", 1, 0, kEcx, 12, kAvx},
    {"sse4.1", 1, 0, kEcx, 19, kNoState},
    {"sse4.2", 1, 0, kEcx, 20, kNoState},
    {"movbe", 1, 0, kEcx, 22, kNoState},
    {"popcnt", 1, 0, kEcx, 23, kNoState},
    {"avx", 1, 0, kEcx, 28, kAvx},
    {"f16c", 1, 0, kEcx, 29, kAvx},
    {"bmi", 7, 0, kEbx, 3, kNoState},
    {"avx2", 7, 0, kEbx, 5, kAvx},
    {"bmi2", 7, 0, kEbx, 8, kNoState},
    {"avx512f", 7, 0, kEbx, 16, kAvx512},
    {"avx512dq", 7, 0, kEbx, 17, kAvx512},
    {"avx512ifma", 7, 0, kEbx, 21, kAvx512},
    {"avx512cd", 7, 0, kEbx, 28, kAvx512},
    {"avx512bw", 7, 0, kEbx, 30, kAvx512},
    {"avx512vl", 7, 0, kEbx, 31, kAvx512},
    {"avx512vbmi", 7, 0, kEcx, 1, kAvx512},
    {"avx512vbmi2", 7, 0, kEcx, 6, kAvx512},
    {"gfni", 7, 0, kEcx, 8, kNoState},
    {"avx512vnni", 7, 0, kEcx, 11, kAvx512},
    {"avx512bitalg", 7, 0, kEcx, 12, kAvx512},
    {"avx512vpopcntdq", 7, 0, kEcx, 14, kAvx512},
    {"amx-bf16", 7, 0, kEdx, 22, kAmx},
    {"avx512fp16", 7, 0, kEdx, 23, kAvx512},
    {"amx-tile", 7, 0, kEdx, 24, kAmx},
    {"amx-int8", 7, 0, kEdx, 25, kAmx},
    {"avxvnni", 7, 1, kEax, 4, kAvx},
    {"avx512bf16", 7, 1, kEax, 5, kAvx512},
    {"amx-fp16", 7, 1, kEax, 21, kAmx},
    {"avxifma", 7, 1, kEax, 23, kAvx},
    {"avxvnniint8", 7, 1, kEdx, 4, kAvx},
    {"avxneconvert", 7, 1, kEdx, 5, kAvx},
    {"avxvnniint16", 7, 1, kEdx, 10, kAvx},
    {"lzcnt", 0x80000001, 0, kEcx, 5, kNoState},
};

uint64_t saved_states() {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return 0;
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

HostCpu read_host() {
  HostCpu cpu;
  cpu.arch = "x86_64";
  const uint64_t states = saved_states();
  uint32_t r[4] = {};
  const Bit* read = nullptr;  // whose leaf is in r: virtual machines take microseconds for each cpuid
  for (const Bit& b : kBits) {
    if (!read || read->leaf != b.leaf || read->subleaf != b.subleaf) {
      std::fill(r, r + 4, 0U);
      __get_cpuid_count(b.leaf, b.subleaf, &r[0], &r[1], &r[2], &r[3]);
      read = &b;
    }
    if ((r[b.reg] >> b.bit & 1) && (states & b.state) == b.state) cpu.features.emplace_back(b.feature);
  }
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    if (__get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3])) std::memcpy(brand + 16 * i, r, 16);
  }
  cpu.model = brand;
  return cpu;
}

#elif defined(__aarch64__)

struct Bit {
  const char* feature;
  unsigned long type;
  int bit;
};

// <asm/hwcap.h>; the numbers are the kernel's ABI, and old headers lack the newer names.
constexpr Bit kBits[] = {
    {"neon", AT_HWCAP, 1},      {"aes", AT_HWCAP, 3},      {"crc", AT_HWCAP, 7},    {"lse", AT_HWCAP, 8},
    {"fullfp16", AT_HWCAP, 10}, {"dotprod", AT_HWCAP, 20}, {"sve", AT_HWCAP, 22},   {"fp16fml", AT_HWCAP, 23},
    {"sve2", AT_HWCAP2, 1},     {"i8mm", AT_HWCAP2, 13},   {"bf16", AT_HWCAP2, 14}, {"sme", AT_HWCAP2, 23},
};

HostCpu read_host() {
  HostCpu cpu;
  cpu.arch = "aarch64";
  for (const Bit& b : kBits)
    if (getauxval(b.type) >> b.bit & 1) cpu.features.emplace_back(b.feature);
  return cpu;
}

#elif defined(__riscv)

HostCpu read_host() {
  HostCpu cpu;
  cpu.arch = __riscv_xlen == 64 ? "riscv64" : "riscv32";
  for (char c : {'m', 'a', 'f', 'd', 'c', 'v'})
    if (getauxval(AT_HWCAP) >> (c - 'a') & 1) cpu.features.emplace_back(1, c);
  return cpu;
}

#else

HostCpu read_host() { return {"unknown", "", {}}; }

#endif

/// First numbers of a small text file of /sys; how many were read. "max" reads as none.
int read_numbers(const char* path, long long* a, long long* b) {
  FILE* f = std::fopen(path, "re");
  if (!f) return 0;
  const int n = std::fscanf(f, "%lld %lld", a, b);
  std::fclose(f);
  return n;
}

/// CPUs the cgroup's quota pays for, 0 if there is no quota.
long long quota_cpus() {
  long long quota = 0, period = 0, unused = 0;
  if (read_numbers("/sys/fs/cgroup/cpu.max", &quota, &period) != 2) {
    if (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota, &unused) < 1) return 0;
    if (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period, &unused) < 1) return 0;
  }
  return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

}  // namespace

bool HostCpu::has(std::string_view feature) const {
  return std::binary_search(features.begin(), features.end(), feature);
}

const HostCpu& host_cpu() {
  static const HostCpu cpu = [] {
    HostCpu c = read_host();
    std::sort(c.features.begin(), c.features.end());
    while (!c.model.empty() && c.model.back() == ' ') c.model.pop_back();
    return c;
  }();
  return cpu;
}

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  long long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  if (const long long quota = quota_cpus()) n = std::min(n, quota);
  return static_cast<int>(std::clamp(n, 1LL, 256LL));
}

}  // namespace lathe
