// SPDX-License-Identifier: Apache-2.0
// What a session does before it runs: shapes in, memory and pointer tables out.
#include <algorithm>
#include <cstring>

#include "base/arena_planner.h"
#include "runtime/session.h"

namespace lathe {
namespace {

using Place = PlanBuffer::Place;
constexpr size_t idx(int64_t i) { return static_cast<size_t>(i); }
/// Kernels may read this far past arena buffers and scratch.
constexpr int64_t kSlack = 64;
constexpr int64_t kScratchAlign = 64;
/// Bytes of state beyond which a plan is not believed; and what each of them takes, with slack for kernels.
constexpr int64_t kMostState = int64_t{1} << 48;
constexpr int64_t state_room(int64_t bytes) { return ((bytes + 63) & -int64_t{64}) + kSlack; }

/// Where buffers without bytes are, so that kernels get a valid address whatever the shape.
alignas(64) std::byte empty_buffer[64];

std::optional<int64_t> bytes_of(DType dtype, std::span<const int64_t> dims) {
  std::optional<int64_t> count = dtype_bits(dtype);
  for (int64_t d : dims) count = count ? size_apply(SizeExpr::Kind::kMul, *count, d) : count;
  return count ? std::optional((*count + 7) / 8) : count;
}

/// Of a validated plan: the value of an expression that no symbol goes into.
std::optional<int64_t> size_constant(const Plan& plan, ExprId e) {
  const Sizes no_symbols(plan.symbols.size());
  Sizes sizes(plan.exprs.size());
  if (!size_evaluate_all(plan, no_symbols, sizes) || !sizes.known[idx(e)]) return std::nullopt;
  return sizes.value[idx(e)];
}

bool mentions_new(const SizeExpr& e, const std::vector<uint8_t>& exprs, const std::vector<uint8_t>& symbols) {
  if (e.kind == SizeExpr::Kind::kConstant) return false;
  if (e.kind == SizeExpr::Kind::kSymbol) return symbols[idx(e.value)];
  return exprs[idx(e.a)] || exprs[idx(e.b)];
}

}  // namespace

std::string Session::port_text(const char* kind, const PlanPort& port) const {
  return std::string(kind) + " \"" + port.name + "\"";
}

/// Follows the plan once from the given symbols and buffers to everything that depends on them.
Session::Dependents Session::dependents_of(std::vector<uint8_t> symbols, std::vector<uint8_t> buffers) const {
  const Plan& p = engine_->plan();
  Dependents d;
  std::vector<uint8_t> exprs(p.exprs.size());
  for (size_t i = 0; i < exprs.size(); ++i)
    if ((exprs[i] = mentions_new(p.exprs[i], exprs, symbols))) d.exprs.push_back(static_cast<ExprId>(i));
  const auto changed = [&](ExprId e) { return e != kNone && exprs[idx(e)]; };
  for (size_t i = 0; i < buffers.size(); ++i) {
    const PlanBuffer& b = p.buffers[i];
    if (changed(b.bytes) || changed(b.offset) || (b.place == Place::kAlias && buffers[idx(b.index)])) buffers[i] = 1;
    if (buffers[i]) d.buffers.push_back(static_cast<BufferId>(i));
  }
  for (size_t i = 0; i < p.instrs.size(); ++i) {
    const PlanInstr& s = p.instrs[i];
    if (changed(s.tasks) || changed(s.scratch) || std::any_of(s.scalars.begin(), s.scalars.end(), changed) ||
        std::any_of(s.buffers.begin(), s.buffers.end(), [&](BufferId b) { return b != kNone && buffers[idx(b)]; }))
      d.steps.push_back(static_cast<int32_t>(i));
  }
  return d;
}

Status Session::mark_late() {
  const Plan& p = engine_->plan();
  std::vector<uint8_t> late(p.symbols.size());
  for (const PlanInstr& s : p.instrs)
    for (int32_t d : s.defines) late[idx(d)] = 1;
  late_exprs_.resize(p.exprs.size());
  for (size_t i = 0; i < late_exprs_.size(); ++i) late_exprs_[i] = mentions_new(p.exprs[i], late_exprs_, late);
  for (const PlanPort& in : p.inputs)
    for (ExprId d : buffer(in.buffer).dims)
      if (late_exprs_[idx(d)])
        return fail(Code::kDamaged, "damaged plan: " + port_text("input", in) + " has a dimension that a kernel sets");
  return {};
}

Status Session::build() {
  const Plan& p = engine_->plan();
  symbols_ = Sizes(p.symbols.size());
  sizes_ = Sizes(p.exprs.size());
  storage_.resize(p.buffers.size());
  arena_offsets_.assign(p.buffers.size(), kNone);
  LATHE_CHECK(mark_late());

  const auto ports = [&](const std::vector<PlanPort>& from, std::vector<Port>& to) {
    to.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
      to[i].dims.resize(buffer(from[i].buffer).dims.size());
      std::vector<uint8_t> buffers(p.buffers.size());
      buffers[idx(from[i].buffer)] = 1;
      to[i].dependents = dependents_of(std::vector<uint8_t>(p.symbols.size()), std::move(buffers));
    }
  };
  ports(p.inputs, inputs_);
  ports(p.outputs, outputs_);
  LATHE_CHECK(allocate_states());

  size_t bufs = 0, scalars = 0, defined = 0;
  for (const PlanInstr& s : p.instrs) {
    bufs += s.buffers.size();
    scalars += s.scalars.size();
    defined = std::max(defined, s.defines.size());
  }
  bufs_.resize(bufs);
  scalars_.resize(scalars);
  defined_.resize(defined);
  steps_.resize(p.instrs.size());
  bufs = scalars = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const PlanInstr& s = p.instrs[i];
    Step& step = steps_[i];
    step.kind = s.kind;
    step.target = s.target;
    if (s.kernel != kNone && s.kind == PlanInstr::Kind::kKernel) step.kernel = engine_->kernel(s.kernel);
    step.bufs = bufs_.data() + bufs;
    step.scalars = scalars_.data() + scalars;
    bufs += s.buffers.size();
    scalars += s.scalars.size();
    std::vector<uint8_t> symbols(p.symbols.size()), grown(p.buffers.size());
    for (int32_t d : s.defines) symbols[idx(d)] = 1;
    LATHE_CHECK(build_custom(static_cast<int32_t>(i)));
    bool changes = !s.defines.empty();
    for (size_t k = 0; k < s.grows.size(); ++k)
      if (s.grows[k]) grown[idx(s.buffers[k])] = 1;
    changes = changes || std::any_of(grown.begin(), grown.end(), [](uint8_t g) { return g != 0; });
    if (!changes) continue;
    step.changes = static_cast<int32_t>(dependents_.size());
    dependents_.push_back(dependents_of(std::move(symbols), std::move(grown)));
  }
  return {};
}

Status Session::allocate_states() {
  const Plan& p = engine_->plan();
  if (p.states.empty()) return {};
  states_.resize(p.states.size());
  std::vector<uint8_t> buffers(p.buffers.size());
  int64_t total = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    const PlanState& s = p.states[i];
    buffers[idx(s.buffer)] = buffers[idx(s.next)] = 1;
    const std::optional<int64_t> bytes = size_constant(p, buffer(s.buffer).bytes);
    if (!bytes || *bytes < 0 || *bytes > kMostState || total > kMostState)
      return fail(Code::kFailed, "state \"" + s.name + "\" is too large");
    states_[i].bytes = *bytes;
    total += 2 * state_room(*bytes);
  }
  LATHE_TRY(state_memory_, Mapping::anonymous(idx(total)));
  std::byte* at = state_memory_.data();
  for (State& s : states_) {
    s.now = at;
    s.next = at + state_room(s.bytes);
    at += 2 * state_room(s.bytes);
  }
  state_dependents_ = dependents_of(std::vector<uint8_t>(p.symbols.size()), std::move(buffers));
  restore_states();
  return {};
}

void Session::restore_states() {
  for (size_t i = 0; i < states_.size(); ++i) {
    const int32_t initial = engine_->plan().states[i].initial;
    if (initial == kNone)
      std::memset(states_[i].now, 0, idx(states_[i].bytes));
    else
      std::memcpy(states_[i].now, engine_->weight(initial).data(), idx(states_[i].bytes));
  }
}

/// What this run has made is what the next reads: addresses change, no byte moves.
Status Session::swap_states() {
  if (states_.empty()) return {};
  for (State& s : states_) std::swap(s.now, s.next);
  return refresh(state_dependents_);
}

Status Session::bind_input(size_t index, const void* data, std::span<const int64_t> dims) {
  const Plan& plan = engine_->plan();
  if (index >= inputs_.size())
    return fail(Code::kUsage,
                "no input " + std::to_string(index) + ": the model has " + std::to_string(inputs_.size()));
  if (busy_.load(std::memory_order_relaxed)) return fail(Code::kUsage, "this session is running on another thread");
  const PlanPort& port = plan.inputs[index];
  const PlanBuffer& b = buffer(port.buffer);
  const auto wrong = [&](const std::string& why) {
    return fail(Code::kUsage, port_text("input", port) + ": expected " + std::string(dtype_name(b.dtype)) +
                                  size_format(plan, b.dims) + ", got " + shape_format(dims) + why);
  };
  if (b.dtype == DType::kString)
    return fail(Code::kUnsupported, port_text("input", port) + ": strings are not supported");
  if (dims.size() != b.dims.size()) return wrong("");
  for (size_t i = 0; i < dims.size(); ++i) {
    const SizeExpr& e = plan.exprs[idx(b.dims[i])];
    if (dims[i] < 0 || (e.kind == SizeExpr::Kind::kConstant && e.value != dims[i]))
      return wrong(": dimension " + std::to_string(i) + " differs");
    if (e.kind != SizeExpr::Kind::kSymbol) continue;
    const PlanSymbol& s = plan.symbols[idx(e.value)];
    if (dims[i] < s.min || dims[i] > s.max)
      return wrong(": " + s.name + " must be between " + std::to_string(s.min) + " and " + std::to_string(s.max));
  }
  const auto bytes = bytes_of(b.dtype, dims);
  if (!bytes) return wrong(": too large");
  if (!data && *bytes > 0) return fail(Code::kUsage, port_text("input", port) + ": its data is a null pointer");

  Port& p = inputs_[index];
  const bool same = p.bound && std::equal(dims.begin(), dims.end(), p.dims.begin());
  p.data = const_cast<void*>(data);  // kernels only read inputs: the compiler sees to that
  p.capacity = *bytes;
  p.bound = true;
  std::copy(dims.begin(), dims.end(), p.dims.begin());
  prepared_ = prepared_ && same;
  return prepared_ ? refresh(p.dependents) : Status();
}

Status Session::bind_output(size_t index, void* data, size_t capacity) {
  if (index >= outputs_.size())
    return fail(Code::kUsage,
                "no output " + std::to_string(index) + ": the model has " + std::to_string(outputs_.size()));
  if (busy_.load(std::memory_order_relaxed)) return fail(Code::kUsage, "this session is running on another thread");
  Port& p = outputs_[index];
  p.bound = data != nullptr;
  p.data = data;
  p.capacity = static_cast<int64_t>(std::min<size_t>(capacity, INT64_MAX));
  if (!prepared_) return {};
  // An output too small for now is an error only if run() finds it so: another shape may be bound before.
  if (!refresh(p.dependents)) prepared_ = false;
  return {};
}

Status Session::check_symbol(size_t symbol, int64_t value, const char* where) const {
  const PlanSymbol& s = engine_->plan().symbols[symbol];
  if (value >= s.min && value <= s.max) return {};
  return fail(Code::kUsage, s.name + " is " + std::to_string(value) + " in \"" + where + "\" and must be between " +
                                std::to_string(s.min) + " and " + std::to_string(s.max));
}

Status Session::read_symbols() {
  const Plan& plan = engine_->plan();
  std::fill(symbols_.known.begin(), symbols_.known.end(), uint8_t{0});
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const PlanPort& port = plan.inputs[i];
    if (!inputs_[i].bound)
      return fail(Code::kUsage, port_text("input", port) + " is not bound: expected " +
                                    std::string(dtype_name(buffer(port.buffer).dtype)) +
                                    size_format(plan, buffer(port.buffer).dims));
    for (size_t k = 0; k < inputs_[i].dims.size(); ++k) {
      const SizeExpr& e = plan.exprs[idx(buffer(port.buffer).dims[k])];
      if (e.kind != SizeExpr::Kind::kSymbol) continue;
      const auto symbol = idx(e.value);
      if (!symbols_.known[symbol]) LATHE_CHECK(check_symbol(symbol, inputs_[i].dims[k], port.name.c_str()));
      if (!symbols_.known[symbol]) symbols_.set(symbol, inputs_[i].dims[k]);
    }
  }
  return {};
}

/// With all symbols known: every dimension is what its expression says, and the kernels' idea of the size is within
/// what the caller has bound.
Status Session::check_input(size_t index) const {
  const Plan& plan = engine_->plan();
  const PlanPort& port = plan.inputs[index];
  const PlanBuffer& b = buffer(port.buffer);
  const Port& p = inputs_[index];
  std::vector<int64_t> expected;
  for (ExprId d : b.dims) {
    if (!sizes_.known[idx(d)])
      return fail(Code::kDamaged, "damaged plan: " + port_text("input", port) + ": " + size_format(plan, d) +
                                      " does not follow from any input's shape");
    expected.push_back(sizes_.value[idx(d)]);
  }
  if (expected != p.dims)
    return fail(Code::kUsage, port_text("input", port) + ": expected " + std::string(dtype_name(b.dtype)) +
                                  size_format(plan, b.dims) + ", which is " + shape_format(expected) +
                                  " with the other inputs' shapes, got " + shape_format(p.dims));
  if (!sizes_.known[idx(b.bytes)] || sizes_.value[idx(b.bytes)] > p.capacity)
    return fail(Code::kDamaged, "damaged plan: " + port_text("input", port) + " is larger than its shape");
  return {};
}

Status Session::place_arena() {
  const Plan& plan = engine_->plan();
  int64_t fixed_end = std::max<int64_t>(plan.arena_bytes, 0);
  std::vector<ArenaItem> items;
  std::vector<BufferId> ids;
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const PlanBuffer& b = plan.buffers[i];
    if (b.place != Place::kArena || !sizes_.known[idx(b.bytes)]) continue;
    const int64_t bytes = std::max<int64_t>(sizes_.value[idx(b.bytes)], 0);  // negative: of a branch not taken
    if (b.offset == kNone) {
      items.push_back({bytes, std::max<int32_t>(b.align, 64), b.first, b.last});
      ids.push_back(static_cast<BufferId>(i));
    } else if (plan.arena_bytes == kNone && sizes_.known[idx(b.offset)]) {
      fixed_end = std::max(fixed_end, sizes_.value[idx(b.offset)] + bytes);
    }
  }
  std::vector<int64_t> offsets(items.size());
  const int64_t floating = plan_arena(items, offsets);
  const int64_t base = items.empty() ? fixed_end : (fixed_end + layout::kMaxAlign - 1) & -int64_t{layout::kMaxAlign};
  if (floating < 0 || base > (int64_t{1} << 62))
    return fail(Code::kFailed, "the arena would exceed 2^62 bytes; bind smaller shapes");
  for (size_t i = 0; i < ids.size(); ++i) arena_offsets_[idx(ids[i])] = base + offsets[i];
  arena_bytes_ = base + floating;
  if (idx(arena_bytes_ + kSlack) <= arena_.size()) return {};
  arena_ = Mapping();
  LATHE_TRY(arena_, Mapping::anonymous(idx(arena_bytes_ + kSlack)));
  return {};
}

/// Memory of at least `bytes` bytes for a dynamic or output buffer. What is in it stays; capacity doubles, so that a
/// loop which appends does not copy each time.
Status Session::own_memory(BufferId id, int64_t bytes) {
  Storage& s = storage_[idx(id)];
  const PlanBuffer& b = buffer(id);
  if (b.place == Place::kOutput && outputs_[idx(b.index)].bound) {
    const Port& p = outputs_[idx(b.index)];
    if (bytes > p.capacity)
      return fail(Code::kUsage, port_text("output", engine_->plan().outputs[idx(b.index)]) + " needs " +
                                    std::to_string(bytes) + " bytes, and the memory bound to it has " +
                                    std::to_string(p.capacity));
    s.at = static_cast<std::byte*>(p.data);
    s.capacity = p.capacity;
    return {};
  }
  const auto have = static_cast<int64_t>(s.own.size()) - kSlack;
  if (bytes > have) {
    if (bytes > (int64_t{1} << 61)) return fail(Code::kFailed, "out of memory: a buffer of 2^61 bytes and more");
    const int64_t wanted = have > 0 ? std::max(bytes, 2 * have) : bytes;
    LATHE_TRY(Mapping bigger, Mapping::anonymous(idx(wanted + kSlack)));
    if (have > 0) std::memcpy(bigger.data(), s.own.data(), idx(have));
    s.own = std::move(bigger);
  }
  s.at = s.own.data() ? s.own.data() : empty_buffer;
  s.capacity = std::max<int64_t>(static_cast<int64_t>(s.own.size()) - kSlack, 0);
  return {};
}

/// Works out where buffer `id` is, if that is known yet (else its address is null). Aliases come after what they are
/// part of.
Status Session::place(BufferId id) {
  const Plan& plan = engine_->plan();
  const PlanBuffer& b = buffer(id);
  Storage& s = storage_[idx(id)];
  const bool sized = b.bytes != kNone && sizes_.known[idx(b.bytes)];
  const int64_t bytes = sized ? sizes_.value[idx(b.bytes)] : 0;
  const bool at_known = b.offset != kNone && sizes_.known[idx(b.offset)];
  const int64_t offset = at_known ? sizes_.value[idx(b.offset)] : 0;
  if (bytes < 0 || offset < 0) {  // of a branch that these shapes do not take, or an error when it runs
    s.at = nullptr;
    return {};
  }
  // What does not fit has no address: a negative size of the whole, of a branch that these shapes do not take, or a
  // damaged plan. The instruction that uses it tells.
  const auto part_of = [&](std::byte* base, int64_t whole) -> Status {
    const bool fits = bytes <= whole && offset <= whole - bytes;
    s.at = fits ? base + offset : nullptr;
    s.capacity = fits ? bytes : 0;
    return {};
  };
  switch (b.place) {
    case Place::kInput: {
      const Port& p = inputs_[idx(b.index)];
      s.at = p.data ? static_cast<std::byte*>(p.data) : empty_buffer;
      s.capacity = p.capacity;
      return {};
    }
    case Place::kWeight: {
      const auto blob = engine_->weight(b.index);
      s.at = const_cast<std::byte*>(blob.data());  // mapped read-only
      s.capacity = static_cast<int64_t>(blob.size());
      return {};
    }
    case Place::kArena:
      if (sized && arena_offsets_[idx(id)] >= 0 && !late_exprs_[idx(b.bytes)]) {
        s.at = arena_.data() + arena_offsets_[idx(id)];
        s.capacity = bytes;
        return {};
      }
      if (b.offset != kNone) {
        s.at = nullptr;
        return sized && at_known ? part_of(arena_.data(), arena_bytes_) : Status();
      }
      return own_memory(id, bytes);  // too late for the arena
    case Place::kState:
    case Place::kNextState: {
      const State& state = states_[idx(b.index)];
      s.at = b.place == Place::kState ? state.now : state.next;
      s.capacity = state.bytes;
      return {};
    }
    case Place::kOutput:
    case Place::kDynamic:
      return own_memory(id, bytes);  // of unknown size: what there is; its producer grows it
    case Place::kAlias: {
      const Storage& whole = storage_[idx(b.index)];
      s.at = nullptr;
      return whole.at && sized && at_known ? part_of(whole.at, whole.capacity) : Status();
    }
  }
  return fail(Code::kDamaged, "damaged plan: " + std::to_string(plan.buffers.size()) + " buffers");
}

Status Session::allocate_scratch() {
  int64_t most = 0;
  for (const PlanInstr& i : engine_->plan().instrs)
    if (i.scratch != kNone && sizes_.known[idx(i.scratch)]) most = std::max(most, sizes_.value[idx(i.scratch)]);
  if (most > (int64_t{1} << 50)) return fail(Code::kFailed, "the scratch memory would exceed 2^50 bytes a thread");
  most = (most + kSlack + kScratchAlign - 1) & -kScratchAlign;
  if (most <= scratch_stride_ && idx(most * threads_) <= scratch_.size()) return {};
  scratch_ = Mapping();
  scratch_stride_ = std::max(most, scratch_stride_);
  LATHE_TRY(scratch_, Mapping::anonymous(idx(scratch_stride_ * threads_)));
  return {};
}

/// Brings an instruction's tables up to date.
Status Session::fill(int32_t at) {
  const PlanInstr& i = engine_->plan().instrs[idx(at)];
  Step& step = steps_[idx(at)];
  step.ready = true;
  const auto value = [&](ExprId e) {
    step.ready = step.ready && sizes_.known[idx(e)];
    return sizes_.value[idx(e)];
  };
  if (step.custom >= 0) {  // its outputs need not be known: its shape function tells
    const Custom& c = *customs_[idx(step.custom)];
    for (size_t k = 0; k < i.buffers.size(); ++k) {
      step.bufs[k] = i.buffers[k] == kNone ? nullptr : storage_[idx(i.buffers[k])].at;
      step.ready = step.ready && (step.bufs[k] || i.buffers[k] == kNone || k > c.described.inputs.size());
    }
    for (size_t k = 0; k < i.scalars.size(); ++k)
      step.scalars[k] = k < c.input_scalars ? value(i.scalars[k]) : sizes_.value[idx(i.scalars[k])];
    return {};
  }
  for (size_t k = 0; k < i.buffers.size(); ++k) {
    step.bufs[k] = i.buffers[k] == kNone ? nullptr : storage_[idx(i.buffers[k])].at;
    const bool grows = k < i.grows.size() && i.grows[k];
    step.ready = step.ready && (step.bufs[k] || grows || i.buffers[k] == kNone);
  }
  for (size_t k = 0; k < i.scalars.size(); ++k) step.scalars[k] = value(i.scalars[k]);
  if (i.kind != PlanInstr::Kind::kKernel) return {};
  step.tasks = value(i.tasks);
  step.parallel = !i.serial && step.tasks > 1 && threads_ > 1 && step.changes < 0;
  step.ready = step.ready && step.tasks >= 0;
  if (i.scratch != kNone && value(i.scratch) > scratch_stride_ - kSlack && step.ready) return allocate_scratch();
  return {};
}

Status Session::refresh(const Dependents& d) {
  // A size that cannot be computed is an error of the instruction that needs it, if that runs.
  for (ExprId e : d.exprs)
    if (!size_evaluate(engine_->plan(), e, symbols_, sizes_)) sizes_.known[idx(e)] = 0;
  for (BufferId b : d.buffers) LATHE_CHECK(place(b));
  for (int32_t s : d.steps) LATHE_CHECK(fill(s));
  return {};
}

Status Session::prepare() {
  const Plan& plan = engine_->plan();
  prepared_ = false;
  LATHE_CHECK(read_symbols());
  LATHE_CHECK(size_evaluate_all(plan, symbols_, sizes_));
  for (size_t i = 0; i < inputs_.size(); ++i) LATHE_CHECK(check_input(i));
  LATHE_CHECK(place_arena());
  LATHE_CHECK(allocate_scratch());
  for (size_t i = 0; i < plan.buffers.size(); ++i) LATHE_CHECK(place(static_cast<BufferId>(i)));
  for (size_t i = 0; i < steps_.size(); ++i) LATHE_CHECK(fill(static_cast<int32_t>(i)));
  prepared_ = true;
  return {};
}

}  // namespace lathe
