// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lathe {

// The Plan is what an engine executes on one target: kernels in order, with their memory. It is made by the compiler,
// stored in the engine file and run by the runtime; ids are indices into the vectors of Plan. Every size is the id of
// a SizeExpr, so that symbolic shapes need no second mechanism: a constant is the trivial expression.

using ExprId = int32_t;
using BufferId = int32_t;
inline constexpr int32_t kNone = -1;

/// One step of the size program. `a` and `b` name earlier expressions, so one pass in order evaluates all of them.
/// Arithmetic is checked: a result outside [-2^62, 2^62] or a division by zero is an error.
struct SizeExpr {
  enum class Kind : uint8_t { kConstant, kSymbol, kAdd, kMul, kFloorDiv, kMod, kMin, kMax };
  Kind kind = Kind::kConstant;
  int64_t value = 0;  ///< kConstant: the value; kSymbol: index into Plan::symbols
  ExprId a = kNone, b = kNone;
};

/// A named dimension. Symbols of inputs are read off the bound shapes; the others are set by the instruction that
/// lists them in `defines` (data-dependent sizes). A symbol must be a whole dimension of some input, or be defined;
/// a buffer sized by a defined symbol's `max` instead of the symbol keeps its place in the static arena.
struct PlanSymbol {
  std::string name;
  int64_t min = 0, opt = 1, max = INT64_MAX;
};

struct PlanBuffer {
  enum class Place : uint8_t {
    kInput,     ///< `index`: which model input; the caller's memory
    kOutput,    ///< `index`: which model output; the caller's memory, or the session's own
    kWeight,    ///< `index`: blob of the engine's weight table; read-only, mapped
    kArena,     ///< `offset`: bytes from the arena's start, or kNone: placed by lifetime when shapes are bound (or
                ///< allocated outside the arena, if `bytes` depends on a symbol that an instruction defines)
    kDynamic,   ///< size known only when its producer runs; memory outside the arena, kept and reused. Allocated by the
                ///< kernel that `grows` it, or by the runtime as soon as `bytes` is known
    kAlias,     ///< `index`: another buffer with a smaller id; `offset`: bytes into it
    kState,     ///< `index`: which state; what the last run left, only read by this one
    kNextState  ///< `index`: which state; what the next run will read
  };
  Place place = Place::kArena;
  DType dtype = DType::kF32;
  int32_t align = 64;
  int32_t index = kNone;
  ExprId offset = kNone;
  ExprId bytes = kNone;         ///< size; kernels may read (never use) up to 63 bytes past arena and weight buffers
  std::vector<ExprId> dims;     ///< shape in the model's terms, row-major
  int32_t first = 0, last = 0;  ///< first and last instruction that touches it (aliases counted on their root)
  std::string name;             ///< value name in the user's model ("" if made by a pass)
};

struct PlanKernel {
  std::string name;         ///< symbol, unique within the plan
  int64_t code_offset = 0;  ///< entry point: bytes from the start of the target's code
};

struct PlanInstr {
  enum class Kind : uint8_t {
    kKernel,      ///< call `kernel` for tasks [0, tasks)
    kJump,        ///< continue at instruction `target`
    kJumpIfFalse  ///< continue at `target` if the bool scalar in buffers[0] is false
  };
  Kind kind = Kind::kKernel;
  int32_t kernel = kNone;
  int32_t target = kNone;
  std::vector<BufferId> buffers;  ///< what the kernel sees as bufs[i]; kNone passes a null pointer
  std::vector<ExprId> scalars;    ///< what the kernel sees as scalars[i]
  ExprId tasks = kNone;           ///< parallel trip count
  ExprId scratch = kNone;         ///< scratch bytes per thread (kNone: none)
  std::vector<int32_t> defines;   ///< symbols this instruction sets, in the order of KernelContext::symbols
  std::vector<uint8_t> grows;     ///< per buffer: 1 if the kernel allocates it with KernelContext::grow
  bool serial = false;            ///< too small to be worth waking threads
  std::string node;               ///< the user's node(s), for messages and profiles
  std::string op;                 ///< what it computes, e.g. "Conv+Relu"
  std::string tactic;             ///< how, e.g. "direct 14x2"
  double flops = 0, traffic = 0;  ///< at the opt point: arithmetic, bytes moved
};

struct PlanPort {
  std::string name;
  BufferId buffer = kNone;  ///< dtype and dims are the buffer's
};

/// What a session remembers from one run to the next. The two buffers change places after a run that succeeded; one
/// that failed leaves the state as it was.
struct PlanState {
  std::string name;
  BufferId buffer = kNone;  ///< of place kState; dtype and dims are its own
  BufferId next = kNone;    ///< of place kNextState, as large
  int32_t initial = kNone;  ///< blob of the weight table with its first value; kNone: zeros
};

struct Plan {
  std::vector<SizeExpr> exprs;
  std::vector<PlanSymbol> symbols;
  std::vector<PlanBuffer> buffers;
  std::vector<PlanKernel> kernels;
  std::vector<PlanInstr> instrs;
  std::vector<PlanPort> inputs, outputs;
  std::vector<PlanState> states;
  int64_t arena_bytes = kNone;  ///< known when every arena buffer has an offset; else kNone
};

}  // namespace lathe
