// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "engine/operator_call.h"
#include "engine/size_program.h"
#include "runtime/engine.h"

namespace lathe {

struct SessionOptions {
  int threads = 0;  ///< at most this many threads work for a run; 0: usable_cpus()
};

/// One running instance of an engine: shapes, arena, outputs. Used by one thread at a time; different sessions run
/// concurrently. Once shapes are bound and run() has succeeded, binding other memory of the same shapes and running
/// again neither allocates nor locks.
class Session {
 public:
  static Result<std::unique_ptr<Session>> create(Engine::Ref engine, const SessionOptions& options = {});
  ~Session();

  [[nodiscard]] const Engine& engine() const { return *engine_; }

  /// `data` is the caller's, row-major, of the input's element type, at least element-aligned; it is read by every
  /// run() until something else is bound. kUsage names the input, what it expects and what it got.
  Status bind_input(size_t index, const void* data, std::span<const int64_t> dims);
  /// Results go to the caller's memory; null: back to memory of the session's own (the default). If a result turns
  /// out larger than `capacity` bytes, run() fails with kUsage and says how many it needs.
  Status bind_output(size_t index, void* data, size_t capacity);

  Status run();

  /// State goes back to what it was before the first run.
  Status reset();
  /// What state `index` holds now; until the next run, reset or set_state.
  [[nodiscard]] std::span<const std::byte> state(size_t index) const;
  /// `data` is copied: as many bytes as state() has.
  Status set_state(size_t index, const void* data, size_t bytes);

  /// After run(), or after prepare() for shapes that follow from the inputs.
  Result<std::span<const int64_t>> output_shape(size_t index);
  /// Until the next bind, run or the session's end. Null before the first run.
  [[nodiscard]] const void* output_data(size_t index) const;
  [[nodiscard]] size_t output_bytes(size_t index) const;

  /// What run() does first when shapes have changed: evaluates sizes, checks shapes against each other, places and
  /// allocates memory.
  Status prepare();

  Status set_threads(int threads);
  [[nodiscard]] int threads() const { return threads_; }
  /// Each run() adds the nanoseconds of every instruction to `nanoseconds` (one per instruction; empty: off).
  Status set_profile(std::span<int64_t> nanoseconds);

  /// Called by run() after each instruction with its index, on the calling thread; empty: off. What the engine runs
  /// does not change by being watched.
  void set_observer(std::function<void(int32_t)> observer) { observer_ = std::move(observer); }
  /// What a buffer of the plan holds now; no data if its memory or its sizes are not known yet.
  struct View {
    const void* data = nullptr;
    size_t bytes = 0;
    std::vector<int64_t> dims;
  };
  [[nodiscard]] View view(BufferId id) const;

  [[nodiscard]] size_t arena_bytes() const { return arena_bytes_; }
  [[nodiscard]] size_t scratch_bytes() const { return scratch_.size(); }

 private:
  struct Call;
  /// A buffer's memory: where it is now, how much may be used there, and the block behind it if it is our own.
  struct Storage {
    std::byte* at = nullptr;
    int64_t capacity = 0;
    Mapping own;
  };
  /// An instruction with everything the loop needs worked out.
  struct Step {
    PlanInstr::Kind kind{};
    bool ready = false;  ///< all sizes and buffers are known
    bool parallel = false;
    LatheKernel kernel = nullptr;
    void** bufs = nullptr;
    int64_t* scalars = nullptr;
    int64_t tasks = 0;
    int32_t target = 0;
    int32_t changes = -1;  ///< index into dependents_ if sizes or memory change when it has run
    int32_t custom = -1;   ///< index into customs_
  };
  /// What to work out again when some symbols, buffers or bindings change; all in the plan's order.
  struct Dependents {
    std::vector<ExprId> exprs;
    std::vector<BufferId> buffers;
    std::vector<int32_t> steps;
  };
  /// The two memories of a state, which change places.
  struct State {
    std::byte* now = nullptr;
    std::byte* next = nullptr;
    int64_t bytes = 0;
  };
  /// A custom operator of the plan with the functions that the program has registered for it.
  struct Custom {
    CustomOperator described;
    std::unique_ptr<OperatorCall> call;
    size_t input_scalars = 0;   ///< scalars that are dimensions of inputs
    std::vector<int32_t> sets;  ///< by dimension of the outputs: which of the instruction's symbols it is, or -1
  };
  struct Port {
    void* data = nullptr;
    int64_t capacity = 0;  ///< bytes at `data`
    bool bound = false;
    std::vector<int64_t> dims;  ///< of the input, or the last asked for of the output
    Dependents dependents;
  };

  Session() = default;
  Status build();
  Status build_custom(int32_t at);
  Status run_custom(int32_t at, Call& call);
  static void run_parts(lathe_operator_call* call, int64_t count, void (*task)(void*, int64_t, int64_t),
                        void* argument);
  Status allocate_states();
  void restore_states();
  Status swap_states();
  Dependents dependents_of(std::vector<uint8_t> symbols, std::vector<uint8_t> buffers) const;
  Status mark_late();

  Status read_symbols();
  Status check_input(size_t index) const;
  Status check_symbol(size_t symbol, int64_t value, const char* where) const;
  Status place_arena();
  Status place(BufferId id);
  Status own_memory(BufferId id, int64_t bytes);
  Status allocate_scratch();
  Status fill(int32_t step);
  Status refresh(const Dependents& d);
  Status execute();
  Status define(int32_t at);
  [[nodiscard]] std::unexpected<Error> not_ready(int32_t at) const;
  [[nodiscard]] std::unexpected<Error> node_error(int32_t at, Code code, const char* what) const;
  static void run_tasks(void* context, int64_t lane, int64_t begin, int64_t end);
  static void* grow(const LatheKernelContext* context, int64_t buffer, int64_t bytes);
  [[nodiscard]] const PlanBuffer& buffer(BufferId id) const { return engine_->plan().buffers[static_cast<size_t>(id)]; }
  [[nodiscard]] std::string port_text(const char* kind, const PlanPort& port) const;

  Engine::Ref engine_;
  int threads_ = 1;
  bool prepared_ = false;
  std::atomic<bool> busy_{false};

  Sizes symbols_, sizes_;
  std::vector<uint8_t> late_exprs_;  ///< depends on a symbol that an instruction defines
  std::vector<Port> inputs_, outputs_;
  std::vector<State> states_;
  Dependents state_dependents_;  ///< of all states together
  Mapping state_memory_;
  std::vector<Storage> storage_;        ///< by buffer
  std::vector<int64_t> arena_offsets_;  ///< by buffer, of those placed by lifetime
  std::vector<Step> steps_;
  std::vector<void*> bufs_;  ///< the steps' buffer tables, one after another
  std::vector<int64_t> scalars_;
  std::vector<Dependents> dependents_;
  std::vector<std::unique_ptr<Custom>> customs_;
  std::vector<int64_t> defined_;  ///< where kernels write symbols

  Mapping arena_, scratch_;
  int64_t arena_bytes_ = 0, scratch_stride_ = 0;
  std::span<int64_t> profile_;
  std::function<void(int32_t)> observer_;
};

}  // namespace lathe
