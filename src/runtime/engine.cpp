// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/cpu_features.h"
#include "engine/trust.h"
#include "runtime/thread_pool.h"

namespace lathe {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : " ") + w;
  return out;
}

/// Linux gives AMX's large tile state only to processes that ask.
bool amx_granted() {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool runs_here(const TargetMeta& t) {
  const HostCpu& cpu = host_cpu();
  if (t.kernel_abi != LATHE_KERNEL_ABI || t.arch != cpu.arch) return false;
  bool amx = false;
  for (const std::string& f : t.features) {
    if (!cpu.has(f)) return false;
    amx = amx || f.starts_with("amx-");
  }
  return !amx || amx_granted();
}

std::unexpected<Error> no_target(const EngineHead& head, const std::string& wanted) {
  const HostCpu& cpu = host_cpu();
  std::string text = wanted.empty() ? std::string("the engine has no code for this device")
                                    : "the engine has no code for target \"" + wanted + "\" that runs on this device";
  text += "; it has:";
  for (const auto& t : head.targets) {
    text += " " + t.name + " (" + t.arch + (t.features.empty() ? "" : " with " + joined(t.features));
    if (t.kernel_abi != LATHE_KERNEL_ABI)
      text += ", kernel interface " + std::to_string(t.kernel_abi) + " where this runtime has " +
              std::to_string(LATHE_KERNEL_ABI);
    text += ")";
  }
  return fail(Code::kNoTarget, text + "; this device is " + cpu.arch + " with " + joined(cpu.features) +
                                   ". Build the engine for it with --target");
}

Result<Mapping> copy_of(std::span<const std::byte> bytes) {
  LATHE_TRY(Mapping copy, Mapping::anonymous(bytes.size()));
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

bool aligned(const std::byte* p) { return reinterpret_cast<uintptr_t>(p) % layout::kBlobAlign == 0; }

}  // namespace

/// The most specific code wins: the target that needs the most features of those this machine has, the first of equals.
Status Engine::choose_target(const EngineOptions& options) {
  constexpr size_t kNoneFits = SIZE_MAX;
  size_t best = kNoneFits;
  for (size_t i = 0; i < head_.targets.size(); ++i) {
    const auto& t = head_.targets[i];
    if (!options.target.empty() && t.name != options.target) continue;
    if (!runs_here(t)) continue;
    if (best == kNoneFits || t.features.size() > head_.targets[best].features.size()) best = i;
  }
  if (best == kNoneFits && options.inspect_only) {
    const auto named = [&](const auto& t) { return options.target.empty() || t.name == options.target; };
    const auto at = std::find_if(head_.targets.begin(), head_.targets.end(), named);
    if (at != head_.targets.end()) best = static_cast<size_t>(at - head_.targets.begin());
  }
  if (best == kNoneFits) return no_target(head_, options.target);
  target_ = best;
  return {};
}

Status Engine::load(const EngineOptions& options) {
  inspect_only_ = options.inspect_only;
  LATHE_CHECK(choose_target(options));
  if (!inspect_only_ && !options.trust && !is_trusted(head_, options.keys))
    return fail(Code::kIntegrity, "the engine (identity " + to_hex(head_.identity) + ") contains native code and " +
                                      (head_.is_signed ? "its signer (" + to_hex(head_.signer) + ") is not trusted"
                                                       : std::string("is neither signed nor built by this user")) +
                                      ": if you know where it comes from, say --trust");
  LATHE_TRY(plan_, read_plan(head_, target_));
  if (inspect_only_) return {};
  const auto& t = target();
  LATHE_TRY(code_, copy_of(t.code));
  if (sha256(code_.bytes()) != t.code_hash) return fail(Code::kIntegrity, "the engine's code does not match its hash");
  return code_.make_executable();
}

Result<Engine::Ref> Engine::open(const std::string& path, const EngineOptions& options) {
  const auto named = [&](Status s) -> Status {
    if (!s && !s.error().message.starts_with(path)) s.error().message.insert(0, path + ": ");
    return s;
  };
  LATHE_TRY(const File file, File::open(path));
  const std::shared_ptr<Engine> e(new Engine);
  const auto steps = [&]() -> Status {
    LATHE_TRY(e->head_, read_head(file));
    LATHE_CHECK(e->load(options));
    const uint64_t at = e->head_.weights_offset, bytes = e->head_.weights_bytes;
    if (options.copy_weights) {
      LATHE_TRY(e->weights_memory_, Mapping::anonymous(bytes));
      LATHE_CHECK(file.read(at, e->weights_memory_.bytes()));
    } else {
      LATHE_TRY(e->weights_memory_, file.map(at, bytes));
    }
    e->weights_ = e->weights_memory_.bytes();
    return options.check_weights ? check_weights(e->head_, e->weights_) : Status();
  };
  LATHE_CHECK(named(steps()));
  return e;
}

Result<Engine::Ref> Engine::open_memory(std::span<const std::byte> file, const EngineOptions& options) {
  const std::shared_ptr<Engine> e(new Engine);
  LATHE_TRY(e->head_, read_head(file));
  LATHE_CHECK(e->load(options));
  e->weights_ = file.subspan(e->head_.weights_offset, e->head_.weights_bytes);
  if (options.copy_weights || !aligned(e->weights_.data())) {
    LATHE_TRY(e->weights_memory_, copy_of(e->weights_));
    e->weights_ = e->weights_memory_.bytes();
  }
  if (options.check_weights) LATHE_CHECK(check_weights(e->head_, e->weights_));
  return e;
}

LatheKernel Engine::kernel(int32_t id) const {
  const int64_t at = plan_.kernels[static_cast<size_t>(id)].code_offset;
  return reinterpret_cast<LatheKernel>(code_.data() + at);
}

std::span<const std::byte> Engine::weight(int32_t blob) const {
  const BlobEntry& b = head_.blobs[static_cast<size_t>(blob)];
  return weights_.subspan(b.offset, b.bytes);
}

void Engine::populate(int threads) const {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto half = page * static_cast<size_t>(std::max(sysconf(_SC_PHYS_PAGES), 0L)) / 2;
  if (weights_memory_.size() == 0 || weights_memory_.size() > half || populated_.exchange(true)) return;
  static constexpr size_t kChunk = size_t{8} << 20;
  const auto map = [](void* engine, int64_t, int64_t begin, int64_t end) {
    const Mapping& m = static_cast<const Engine*>(engine)->weights_memory_;
    const size_t from = static_cast<size_t>(begin) * kChunk;
    madvise(m.data() + from, std::min(static_cast<size_t>(end) * kChunk, m.size()) - from, MADV_POPULATE_READ);
  };
  Team team(threads);
  team.parallel_for(static_cast<int64_t>((weights_memory_.size() + kChunk - 1) / kChunk), map,
                    const_cast<Engine*>(this));
#else
  (void)threads;
#endif
}

}  // namespace lathe
