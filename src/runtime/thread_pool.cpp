// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "base/cpu_features.h"

namespace lathe {
namespace {

constexpr int64_t kSpinNanoseconds = 40'000;  // covers the serial kernels between two parallel ones of small models
constexpr int kPausesPerLook = 32;
constexpr int64_t kChunksPerThread = 4;
constexpr int kLeavingSpins = 64;  // about as long as a cache line takes to travel, a few times

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

int64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

/// Spins until `done()`, giving up after kSpinNanoseconds.
template <class F>
bool spin_until(F&& done) {
  for (int64_t start = 0;;) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (done()) return true;
      pause_cpu();
    }
    const int64_t t = now();
    if (start == 0) start = t;
    if (t - start > kSpinNanoseconds) return false;
  }
}

// Team::Shared::state: the job's number (16 bits), whether it can be joined, whether the team is dissolved, and how
// many workers are inside the job. A job can be replaced only while nobody is inside, and joining is a compare-and-swap
// on the whole word, so a worker that comes late finds either the current job or the door shut.
constexpr uint32_t kInside = 0x3fff, kDissolved = 0x4000, kOpen = 0x8000, kJobUnit = 0x10000;

}  // namespace

struct Team::Shared {
  alignas(64) std::atomic<uint32_t> state{0};
  std::atomic<uint32_t> sleepers{0};
  Function function = nullptr;
  void* context = nullptr;
  int64_t tasks = 0, chunk = 1;
  alignas(64) std::atomic<int64_t> next{0};
  // One for the caller and one for each worker that has not left: teams are reused only when this is 0.
  alignas(64) std::atomic<int32_t> references{0};

  void work(int64_t lane) {
    for (;;) {
      const int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= tasks) return;
      function(context, lane, begin, std::min(begin + chunk, tasks));
    }
  }
};

namespace {

using Shared = Team::Shared;

/// A worker spins while kIdle, sleeps in kAsleep, is being told its team in kClaimed, and works for it in kLent.
enum : uint32_t { kAbsent, kIdle, kAsleep, kClaimed, kLent };

struct alignas(64) Worker {
  std::atomic<uint32_t> state{kAbsent};
  int32_t lane = 0;
  Shared* team = nullptr;
};

/// Never destroyed: workers may outlive static destructors.
struct Pool {
  Worker workers[kMaxThreads - 1];
  Shared teams[kMaxThreads];
  std::atomic<int> count{0};
  // Workers of dissolved teams that have not noticed yet: about to be idle.
  alignas(64) std::atomic<int> leaving{0};
  pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;
};

alignas(Pool) std::byte pool_memory[sizeof(Pool)];

Pool& pool() {
  static Pool* const p = [] {
    auto* made = new (pool_memory) Pool;
    // A forked child has none of its parent's threads: it starts with an empty pool and grows its own.
    pthread_atfork([] { pthread_mutex_lock(&pool().growing); }, [] { pthread_mutex_unlock(&pool().growing); },
                   [] { new (pool_memory) Pool; });
    return made;
  }();
  return *p;
}

/// Serves `team` until it is dissolved.
void serve(Shared& team, int64_t lane) {
  uint32_t last = 0;  // number of the job done last; jobs count from 1 (and wrap: a missed job is only missed help)
  const auto wanted = [&](uint32_t s) { return (s & kDissolved) || ((s & kOpen) && (s / kJobUnit) != last); };
  for (;;) {
    uint32_t s = 0;
    if (!spin_until([&] { return wanted(s = team.state.load(std::memory_order_acquire)); })) {
      team.sleepers.fetch_add(1);
      while (!wanted(s = team.state.load())) futex_wait(team.state, s);
      team.sleepers.fetch_sub(1);
    }
    if (s & kDissolved) return;
    if (!team.state.compare_exchange_weak(s, s + 1, std::memory_order_acquire)) continue;
    last = s / kJobUnit;
    team.work(lane);
    team.state.fetch_sub(1, std::memory_order_release);
  }
}

void* worker_main(void* self) {
  auto& w = *static_cast<Worker*>(self);
  for (;;) {
    const auto lent = [&] { return w.state.load(std::memory_order_acquire) == kLent; };
    if (!spin_until(lent)) {
      uint32_t idle = kIdle;
      if (w.state.compare_exchange_strong(idle, kAsleep)) {
        while (!lent()) {
          const uint32_t s = w.state.load();
          if (s == kAsleep)
            futex_wait(w.state, s);
          else
            pause_cpu();  // being told its team: a matter of nanoseconds
        }
      }
      while (!lent()) pause_cpu();
    }
    serve(*w.team, w.lane);
    Shared* team = w.team;
    w.state.store(kIdle, std::memory_order_release);
    pool().leaving.fetch_sub(1, std::memory_order_release);
    team->references.fetch_sub(1, std::memory_order_release);
  }
}

bool start_worker(Worker& w) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, size_t{1} << 20);
  sigset_t all, old;  // signals are the host program's business
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  w.state.store(kIdle);
  pthread_t thread{};
  const bool started = pthread_create(&thread, &attr, worker_main, &w) == 0;
  if (started)
    pthread_setname_np(thread, "lathe-worker");
  else
    w.state.store(kAbsent);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attr);
  return started;
}

void grow_pool(Pool& p, int workers) {
  if (p.count.load(std::memory_order_acquire) >= workers) return;
  pthread_mutex_lock(&p.growing);
  for (int n = p.count.load(); n < workers && start_worker(p.workers[n]); ++n) p.count.store(n + 1);
  pthread_mutex_unlock(&p.growing);
}

Shared* free_team(Pool& p) {
  for (Shared& t : p.teams) {
    int32_t unused = 0;
    if (t.references.load(std::memory_order_relaxed) == 0 &&
        t.references.compare_exchange_strong(unused, 1, std::memory_order_acquire))
      return &t;
  }
  return nullptr;
}

/// Lends idle workers to `team`, which has `have` threads and wants `wanted`; returns how many it has then.
int claim_workers(Pool& p, Shared& team, int have, int wanted) {
  const int count = p.count.load(std::memory_order_acquire);
  // Spinning workers first: waking a sleeping one costs this thread a system call.
  for (uint32_t from : {uint32_t{kIdle}, uint32_t{kAsleep}}) {
    for (int i = 0; i < count && have < wanted; ++i) {
      Worker& w = p.workers[i];
      uint32_t expected = from;
      if (w.state.load(std::memory_order_relaxed) != from || !w.state.compare_exchange_strong(expected, kClaimed))
        continue;
      w.team = &team;
      w.lane = have++;
      team.references.fetch_add(1, std::memory_order_relaxed);
      w.state.store(kLent);
      if (from == kAsleep) futex_wake(w.state, 1);
    }
  }
  return have;
}

}  // namespace

Team::Team(int threads) {
  threads = std::clamp(threads, 1, kMaxThreads);
  if (threads == 1) return;
  Pool& p = pool();
  grow_pool(p, threads - 1);
  shared_ = free_team(p);
  if (!shared_) return;
  shared_->state.store(0, std::memory_order_relaxed);
  wanted_ = threads;
  size_ = claim_workers(p, *shared_, 1, wanted_);
  // Runs in close succession: the workers of the last one may be on their way back.
  for (int spins = 0; size_ < wanted_ && spins < kLeavingSpins && p.leaving.load(std::memory_order_acquire) > 0;
       ++spins) {
    pause_cpu();
    size_ = claim_workers(p, *shared_, size_, wanted_);
  }
}

Team::~Team() {
  if (!shared_) return;
  pool().leaving.fetch_add(size_ - 1, std::memory_order_relaxed);
  shared_->state.fetch_or(kDissolved);
  if (shared_->sleepers.load() != 0) futex_wake(shared_->state, INT_MAX);
  shared_->references.fetch_sub(1, std::memory_order_release);
}

void Team::parallel_for(int64_t tasks, Function function, void* context) {
  if (tasks <= 0) return;
  if (size_ < wanted_ && tasks > size_) size_ = claim_workers(pool(), *shared_, size_, wanted_);
  if (size_ == 1 || tasks == 1) return function(context, 0, 0, tasks);
  Shared& s = *shared_;
  s.function = function;
  s.context = context;
  s.tasks = tasks;
  s.chunk = std::max<int64_t>(1, tasks / (size_ * kChunksPerThread));
  s.next.store(0, std::memory_order_relaxed);
  const uint32_t job = (s.state.load(std::memory_order_relaxed) & ~(kJobUnit - 1)) + kJobUnit;
  s.state.store(job | kOpen);
  if (s.sleepers.load() != 0) futex_wake(s.state, static_cast<int>(std::min<int64_t>(tasks - 1, INT_MAX)));

  s.work(0);
  s.state.fetch_and(~kOpen, std::memory_order_acquire);
  for (int spins = 0; (s.state.load(std::memory_order_acquire) & kInside) != 0; ++spins) {
    // A worker that lost its CPU in the middle of a chunk gets ours.
    if (spins < 4096)
      pause_cpu();
    else
      sched_yield();
  }
}

}  // namespace lathe
