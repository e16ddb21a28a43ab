// SPDX-License-Identifier: Apache-2.0
#include "engine/validate.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "engine/layout.h"
#include "engine/size_program.h"

namespace lathe {
namespace {

constexpr int64_t kLimit = int64_t{1} << 62;
using Place = PlanBuffer::Place;

class Validator {
 public:
  Validator(const Plan& plan, std::span<const uint64_t> weights, uint64_t code_bytes)
      : plan_(plan), weights_(weights), code_bytes_(code_bytes), sizes_(plan.exprs.size()) {}

  Status run() {
    for (size_t i = 0; i < plan_.symbols.size(); ++i) LATHE_CHECK(symbol(i));
    for (size_t i = 0; i < plan_.exprs.size(); ++i) LATHE_CHECK(expr(i));
    const Sizes no_symbols(plan_.symbols.size());
    if (auto s = size_evaluate_all(plan_, no_symbols, sizes_); !s)
      return fail(Code::kDamaged, "damaged plan: " + s.error().message);
    for (size_t i = 0; i < plan_.buffers.size(); ++i) LATHE_CHECK(buffer(i));
    for (size_t i = 0; i < plan_.kernels.size(); ++i) LATHE_CHECK(kernel(i));
    for (size_t i = 0; i < plan_.instrs.size(); ++i) LATHE_CHECK(instr(i));
    for (size_t i = 0; i < plan_.inputs.size(); ++i) LATHE_CHECK(port(plan_.inputs[i], i, Place::kInput, "input"));
    for (size_t i = 0; i < plan_.outputs.size(); ++i) LATHE_CHECK(port(plan_.outputs[i], i, Place::kOutput, "output"));
    for (size_t i = 0; i < plan_.states.size(); ++i) LATHE_CHECK(state(i));
    if (plan_.arena_bytes < kNone || plan_.arena_bytes > kLimit) return bad("arena", 0, "its size is out of range");
    return {};
  }

 private:
  static std::unexpected<Error> bad(const char* what, size_t i, const char* why) {
    char text[160];
    std::snprintf(text, sizeof text, "damaged plan: %s %zu: %s", what, i, why);
    return fail(Code::kDamaged, text);
  }
  template <class T>
  static bool in(int64_t id, const std::vector<T>& v) {
    return id >= 0 && static_cast<uint64_t>(id) < v.size();
  }
  [[nodiscard]] bool is_expr(ExprId id) const { return in(id, plan_.exprs); }
  [[nodiscard]] bool is_expr_or_none(ExprId id) const { return id == kNone || is_expr(id); }
  /// The constant a valid id stands for, or nothing if it depends on symbols.
  [[nodiscard]] std::optional<int64_t> constant(ExprId id) const {
    if (id == kNone || !sizes_.known[static_cast<size_t>(id)]) return std::nullopt;
    return sizes_.value[static_cast<size_t>(id)];
  }
  [[nodiscard]] bool negative(ExprId id) const { return constant(id).value_or(0) < 0; }

  Status symbol(size_t i) const {
    const PlanSymbol& s = plan_.symbols[i];
    if (s.min < 0 || s.min > s.opt || s.opt > s.max) return bad("symbol", i, "not 0 <= min <= opt <= max");
    return {};
  }

  Status expr(size_t i) const {
    const SizeExpr& e = plan_.exprs[i];
    switch (e.kind) {
      case SizeExpr::Kind::kConstant:
        if (e.value < -kLimit || e.value > kLimit) return bad("expression", i, "constant out of range");
        return {};
      case SizeExpr::Kind::kSymbol:
        if (!in(e.value, plan_.symbols)) return bad("expression", i, "no such symbol");
        return {};
      case SizeExpr::Kind::kAdd:
      case SizeExpr::Kind::kMul:
      case SizeExpr::Kind::kFloorDiv:
      case SizeExpr::Kind::kMod:
      case SizeExpr::Kind::kMin:
      case SizeExpr::Kind::kMax:
        if (e.a < 0 || e.b < 0 || static_cast<size_t>(e.a) >= i || static_cast<size_t>(e.b) >= i)
          return bad("expression", i, "an operand does not come before it");
        return {};
    }
    return bad("expression", i, "unknown kind");
  }

  Status buffer(size_t i) const {
    const PlanBuffer& b = plan_.buffers[i];
    if (!dtype_valid(static_cast<uint64_t>(b.dtype))) return bad("buffer", i, "unknown element type");
    if (b.align < 1 || static_cast<uint32_t>(b.align) > layout::kMaxAlign ||
        !std::has_single_bit(static_cast<uint32_t>(b.align)))
      return bad("buffer", i, "alignment is not a power of two up to 4096");
    if (!is_expr_or_none(b.bytes) || !is_expr_or_none(b.offset)) return bad("buffer", i, "no such size expression");
    if (b.bytes == kNone && b.place != Place::kDynamic) return bad("buffer", i, "has no size");
    if (negative(b.bytes) || negative(b.offset)) return bad("buffer", i, "negative size or offset");
    if (b.dims.size() > layout::kMaxRank) return bad("buffer", i, "more than 64 dimensions");
    for (ExprId d : b.dims)
      if (!is_expr(d) || negative(d)) return bad("buffer", i, "invalid dimension");
    const auto end = static_cast<int64_t>(std::max<size_t>(plan_.instrs.size(), 1));
    if (b.first < 0 || b.first > b.last || b.last >= end) return bad("buffer", i, "lifetime out of range");
    return placement(i);
  }

  Status placement(size_t i) const {
    const PlanBuffer& b = plan_.buffers[i];
    const auto bytes = constant(b.bytes), offset = constant(b.offset);
    switch (b.place) {
      case Place::kInput:
        if (!in(b.index, plan_.inputs) || plan_.inputs[static_cast<size_t>(b.index)].buffer != static_cast<BufferId>(i))
          return bad("buffer", i, "does not match its input");
        return {};
      case Place::kOutput:
        if (!in(b.index, plan_.outputs) ||
            plan_.outputs[static_cast<size_t>(b.index)].buffer != static_cast<BufferId>(i))
          return bad("buffer", i, "does not match its output");
        return {};
      case Place::kWeight:
        if (b.index < 0 || static_cast<size_t>(b.index) >= weights_.size()) return bad("buffer", i, "no such weight");
        if (!bytes || static_cast<uint64_t>(*bytes) > weights_[static_cast<size_t>(b.index)])
          return bad("buffer", i, "exceeds its weight blob");
        return {};
      case Place::kArena:
        if (offset && bytes && plan_.arena_bytes != kNone &&
            (*bytes > plan_.arena_bytes || *offset > plan_.arena_bytes - *bytes))
          return bad("buffer", i, "lies outside the arena");
        if (offset && *offset % b.align != 0) return bad("buffer", i, "misaligned in the arena");
        return {};
      case Place::kDynamic:
        return {};
      case Place::kAlias: {
        if (b.index < 0 || static_cast<size_t>(b.index) >= i) return bad("buffer", i, "alias of a later buffer");
        if (b.offset == kNone) return bad("buffer", i, "alias without an offset");
        const auto whole = constant(plan_.buffers[static_cast<size_t>(b.index)].bytes);
        if (bytes && offset && whole && (*bytes > *whole || *offset > *whole - *bytes))
          return bad("buffer", i, "exceeds the buffer it is part of");
        return {};
      }
      case Place::kState:
        return part_of_state(i, &PlanState::buffer);
      case Place::kNextState:
        return part_of_state(i, &PlanState::next);
    }
    return bad("buffer", i, "unknown placement");
  }

  Status part_of_state(size_t i, BufferId PlanState::* field) const {
    const PlanBuffer& b = plan_.buffers[i];
    if (!in(b.index, plan_.states) || plan_.states[static_cast<size_t>(b.index)].*field != static_cast<BufferId>(i))
      return bad("buffer", i, "does not match its state");
    return {};
  }

  Status state(size_t i) const {
    const PlanState& s = plan_.states[i];
    if (s.name.empty()) return bad("state", i, "has no name");
    if (!in(s.buffer, plan_.buffers) || !in(s.next, plan_.buffers)) return bad("state", i, "no such buffer");
    const PlanBuffer &now = plan_.buffers[static_cast<size_t>(s.buffer)],
                     &next = plan_.buffers[static_cast<size_t>(s.next)];
    if (now.place != Place::kState || next.place != Place::kNextState || now.index != static_cast<int32_t>(i) ||
        next.index != static_cast<int32_t>(i))
      return bad("state", i, "does not match its buffers");
    const auto bytes = constant(now.bytes), next_bytes = constant(next.bytes);
    if (!bytes || bytes != next_bytes || now.dtype != next.dtype)
      return bad("state", i, "its buffers are not of one type and constant size");
    for (const ExprId d : now.dims)
      if (!constant(d)) return bad("state", i, "its shape is not constant");
    if (dtype_bits(now.dtype) == 0) return bad("state", i, "strings cannot be state");
    if (s.initial == kNone) return {};
    if (s.initial < 0 || static_cast<size_t>(s.initial) >= weights_.size()) return bad("state", i, "no such weight");
    if (static_cast<uint64_t>(*bytes) > weights_[static_cast<size_t>(s.initial)])
      return bad("state", i, "its initial value is too small");
    return {};
  }

  Status kernel(size_t i) const {
    const PlanKernel& k = plan_.kernels[i];
    if (k.name.empty()) return bad("kernel", i, "has no name");
    if (k.code_offset < 0 || static_cast<uint64_t>(k.code_offset) >= code_bytes_)
      return bad("kernel", i, "entry point outside the code");
    return {};
  }

  Status instr(size_t i) const {
    const PlanInstr& s = plan_.instrs[i];
    for (BufferId b : s.buffers)
      if (b != kNone && !in(b, plan_.buffers)) return bad("instruction", i, "no such buffer");
    for (ExprId e : s.scalars)
      if (!is_expr(e)) return bad("instruction", i, "no such scalar");
    for (int32_t d : s.defines)
      if (!in(d, plan_.symbols)) return bad("instruction", i, "defines an unknown symbol");
    if (!is_expr_or_none(s.tasks) || !is_expr_or_none(s.scratch) || negative(s.tasks) || negative(s.scratch))
      return bad("instruction", i, "invalid task count or scratch size");
    switch (s.kind) {
      case PlanInstr::Kind::kKernel:
        return call(i);
      case PlanInstr::Kind::kJump:
      case PlanInstr::Kind::kJumpIfFalse:
        return jump(i);
    }
    return bad("instruction", i, "unknown kind");
  }

  Status call(size_t i) const {
    const PlanInstr& s = plan_.instrs[i];
    if (!in(s.kernel, plan_.kernels)) return bad("instruction", i, "no such kernel");
    if (s.tasks == kNone) return bad("instruction", i, "has no task count");
    if (!s.grows.empty() && s.grows.size() != s.buffers.size())
      return bad("instruction", i, "marks of growing buffers do not match its buffers");
    for (size_t k = 0; k < s.grows.size(); ++k) {
      if (s.grows[k] > 1) return bad("instruction", i, "invalid mark of a growing buffer");
      if (!s.grows[k]) continue;
      if (s.buffers[k] == kNone) return bad("instruction", i, "grows no buffer");
      const Place place = plan_.buffers[static_cast<size_t>(s.buffers[k])].place;
      if (place != Place::kDynamic && place != Place::kOutput)
        return bad("instruction", i, "grows a buffer that cannot grow");
    }
    return {};
  }

  Status jump(size_t i) const {
    const PlanInstr& s = plan_.instrs[i];
    if (s.target < 0 || static_cast<size_t>(s.target) > plan_.instrs.size())
      return bad("instruction", i, "jumps out of the plan");
    if (!s.defines.empty()) return bad("instruction", i, "a jump defines nothing");
    if (s.kind == PlanInstr::Kind::kJump) return {};
    if (s.buffers.size() != 1 || s.buffers[0] == kNone) return bad("instruction", i, "has no condition");
    const PlanBuffer& b = plan_.buffers[static_cast<size_t>(s.buffers[0])];
    if (b.dtype != DType::kBool || constant(b.bytes).value_or(0) < 1)
      return bad("instruction", i, "its condition is not a bool of known size");
    return {};
  }

  Status port(const PlanPort& p, size_t i, Place place, const char* what) const {
    if (p.name.empty()) return bad(what, i, "has no name");
    if (!in(p.buffer, plan_.buffers)) return bad(what, i, "no such buffer");
    const PlanBuffer& b = plan_.buffers[static_cast<size_t>(p.buffer)];
    if (b.place != place || b.index != static_cast<int32_t>(i)) return bad(what, i, "does not match its buffer");
    return {};
  }

  const Plan& plan_;
  std::span<const uint64_t> weights_;
  uint64_t code_bytes_;
  Sizes sizes_;
};

}  // namespace

Status validate_plan(const Plan& plan, std::span<const uint64_t> weight_bytes, uint64_t code_bytes) {
  return Validator(plan, weight_bytes, code_bytes).run();
}

}  // namespace lathe
