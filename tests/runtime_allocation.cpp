// SPDX-License-Identifier: Apache-2.0
// Counts what the process asks for: a program of its own, because it replaces malloc and mmap.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <numeric>

#include "engine_support/plans.h"
#include "runtime/session.h"

namespace {
std::atomic<long> allocations{0};
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounting = false;  // sanitizers replace malloc themselves
#else
constexpr bool kCounting = true;
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t n) { return ++allocations, __libc_malloc(n); }
void* calloc(size_t n, size_t each) { return ++allocations, __libc_calloc(n, each); }
void* realloc(void* p, size_t n) { return ++allocations, __libc_realloc(p, n); }
void* aligned_alloc(size_t align, size_t n) { return ++allocations, __libc_memalign(align, n); }
void* mmap(void* at, size_t n, int prot, int flags, int fd, off_t offset) noexcept {
  ++allocations;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what the kernel returns
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, n, prot, flags, fd, offset));
}
}
#endif

namespace lathe::test {
namespace {

TEST(RuntimeAllocation, running_and_binding_again_allocate_nothing) {
  LATHE_NEEDS_KERNELS();
  if (!kCounting) GTEST_SKIP() << "a sanitizer owns malloc";
  const auto file = serialize_engine(bias_engine());
  const auto engine = Engine::open_memory(*file, {.trust = true, .target = {}, .keys = {}});
  std::vector<float> x(4000), y(4000), out(4000);
  std::iota(x.begin(), x.end(), 0.0f);
  for (int threads : {1, 4}) {
    const auto session = Session::create(*engine, {.threads = threads});
    const int64_t big[] = {1000, 4}, small[] = {10, 4};
    for (const auto& dims : {big, small}) {
      ASSERT_TRUE((*session)->bind_input(0, x.data(), {dims, 2}) && (*session)->run());
    }
    const long before = allocations;
    ASSERT_GT(before, 0) << "the counter does not count";
    bool ok = true;
    for (int i = 0; i < 100; ++i) {
      ok = ok && (*session)->bind_input(0, i % 2 ? x.data() : y.data(), {small, 2});
      ok = ok && (*session)->bind_output(0, i % 3 ? out.data() : nullptr, 16000);
      ok = ok && (*session)->run();
      ok = ok && (*session)->output_shape(0);
    }
    EXPECT_EQ(allocations - before, 0) << threads << " threads";
    EXPECT_TRUE(ok);
  }
}

}  // namespace
}  // namespace lathe::test
