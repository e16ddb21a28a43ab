// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "engine/kernel_abi.h"
#include "engine/plan.h"
#include "engine/read.h"

namespace lathe {

struct EngineOptions {
  bool trust = false;           ///< run the native code of an engine that nobody vouches for
  bool copy_weights = false;    ///< into (huge) pages of this process instead of mapping the file
  bool check_weights = false;   ///< hash the weights too
  bool inspect_only = false;    ///< loads no code and accepts any target; sessions are refused
  std::string target;           ///< a target's name; "": the best one for this machine
  std::vector<PublicKey> keys;  ///< signers trusted in addition to this user's list
};

/// A loaded engine: one target's plan, its code ready to run, and the weights. Immutable, so any number of sessions on
/// any threads may share it.
class Engine {
 public:
  using Ref = std::shared_ptr<const Engine>;

  /// kNoTarget if no code fits this machine; kIntegrity if the file is altered or not trusted; else as read_head.
  static Result<Ref> open(const std::string& path, const EngineOptions& options = {});
  /// `file` must stay as it is until the engine and its sessions are gone, unless copy_weights is set.
  static Result<Ref> open_memory(std::span<const std::byte> file, const EngineOptions& options = {});

  [[nodiscard]] const EngineHead& head() const { return head_; }
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const EngineHead::Target& target() const { return head_.targets[target_]; }
  [[nodiscard]] bool has_code() const { return !inspect_only_; }
  [[nodiscard]] LatheKernel kernel(int32_t id) const;
  [[nodiscard]] std::span<const std::byte> weight(int32_t blob) const;
  /// Maps the weights' pages now, on `threads` threads, once for each engine: else the first run takes a fault for
  /// every few pages, which costs more than the run. Nothing happens where the kernel cannot (before Linux 5.14) or the
  /// weights would take more than half of the memory.
  void populate(int threads) const;

 private:
  Engine() = default;
  Status choose_target(const EngineOptions& options);
  Status load(const EngineOptions& options);

  EngineHead head_;
  Plan plan_;
  size_t target_ = 0;
  bool inspect_only_ = false;
  Mapping code_;
  Mapping weights_memory_;
  std::span<const std::byte> weights_;
  mutable std::atomic<bool> populated_{false};
};

}  // namespace lathe
