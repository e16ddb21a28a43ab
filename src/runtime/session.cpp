// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/cpu_features.h"
#include "runtime/session_call.h"

namespace lathe {
namespace {

constexpr size_t idx(int64_t i) { return static_cast<size_t>(i); }

int64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

const char* fault_text(int64_t fault) {
  switch (fault) {
    case LATHE_FAULT_INDEX:
      return "an index is out of range";
    case LATHE_FAULT_SHAPE:
      return "its inputs' shapes do not fit together";
    case LATHE_FAULT_MEMORY:
      return "there is not enough memory for its result";
    case LATHE_FAULT_VALUE:
      return "an input has a value that is not allowed";
    default:
      return "its kernel reports an unknown fault";
  }
}

/// Only one thread at a time may use a session; the second one is told so instead of corrupting the first one's run.
struct Busy {
  std::atomic<bool>& flag;
  bool entered;
  explicit Busy(std::atomic<bool>& f) : flag(f), entered(!f.exchange(true, std::memory_order_acquire)) {}
  ~Busy() {
    if (entered) flag.store(false, std::memory_order_release);
  }
};

std::unexpected<Error> busy_error() {
  return fail(Code::kUsage, "this session is running on another thread; use one session per thread");
}

}  // namespace

Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::create(Engine::Ref engine, const SessionOptions& options) {
  if (!engine->has_code()) return fail(Code::kUsage, "this engine was opened for inspection only");
  std::unique_ptr<Session> s(new Session);
  s->engine_ = std::move(engine);
  LATHE_CHECK(s->set_threads(options.threads));
  LATHE_CHECK(s->build());
  s->engine_->populate(s->threads_);
  return s;
}

Status Session::set_threads(int threads) {
  if (threads < 0 || threads > kMaxThreads)
    return fail(Code::kUsage, "threads must be between 1 and " + std::to_string(kMaxThreads) + ", or 0 for all CPUs");
  const Busy busy(busy_);
  if (!busy.entered) return busy_error();
  threads_ = threads > 0 ? threads : usable_cpus();
  prepared_ = false;  // scratch is per thread
  return {};
}

Status Session::set_profile(std::span<int64_t> nanoseconds) {
  if (!nanoseconds.empty() && nanoseconds.size() < steps_.size())
    return fail(Code::kUsage, "a profile needs room for " + std::to_string(steps_.size()) + " instructions");
  profile_ = nanoseconds;
  return {};
}

std::unexpected<Error> Session::node_error(int32_t at, Code code, const char* what) const {
  const PlanInstr& i = engine_->plan().instrs[idx(at)];
  return fail(code, "[" + (i.op.empty() ? std::string("instruction") : i.op) + "] " + what + " (node \"" + i.node +
                        "\", instruction " + std::to_string(at) + ")");
}

void Session::run_tasks(void* context, int64_t lane, int64_t begin, int64_t end) {
  auto& call = *static_cast<Call*>(context);
  Session& s = *call.session;
  const LatheKernelContext kernel_context{
      .thread = lane,
      .scratch = s.scratch_.data() + lane * s.scratch_stride_,
      .symbols = s.defined_.data(),
      .grow = &Session::grow,
      .owner = &call,
      .fault = &call.fault,
  };
  call.step->kernel(&kernel_context, call.step->bufs, call.step->scalars, begin, end);
}

void* Session::grow(const LatheKernelContext* context, int64_t slot, int64_t bytes) {
  auto& call = *static_cast<Call*>(context->owner);
  Session& s = *call.session;
  const PlanInstr& i = s.engine_->plan().instrs[idx(call.at)];
  if (slot < 0 || idx(slot) >= i.grows.size() || !i.grows[idx(slot)] || call.step->tasks != 1 || bytes < 0) {
    call.error = Error{Code::kDamaged, "it asks for memory in a way that its plan does not allow"};
    return nullptr;
  }
  const BufferId id = i.buffers[idx(slot)];
  if (auto status = s.own_memory(id, bytes); !status) {
    call.error = std::move(status).error();
    return nullptr;
  }
  return call.step->bufs[slot] = s.storage_[idx(id)].at;
}

/// Takes over the symbols that instruction `at` has just written.
Status Session::define(int32_t at) {
  const PlanInstr& i = engine_->plan().instrs[idx(at)];
  for (size_t k = 0; k < i.defines.size(); ++k) {
    const auto symbol = idx(i.defines[k]);
    LATHE_CHECK(check_symbol(symbol, defined_[k], i.node.c_str()));
    symbols_.set(symbol, defined_[k]);
  }
  return refresh(dependents_[idx(steps_[idx(at)].changes)]);
}

/// Why instruction `at` cannot run.
std::unexpected<Error> Session::not_ready(int32_t at) const {
  const Plan& plan = engine_->plan();
  const PlanInstr& i = plan.instrs[idx(at)];
  std::vector<ExprId> needed = i.scalars;
  needed.push_back(i.tasks);
  for (const BufferId id : i.buffers)
    for (BufferId b = id; b != kNone; b = buffer(b).place == PlanBuffer::Place::kAlias ? buffer(b).index : kNone)
      needed.insert(needed.end(), {buffer(b).bytes, buffer(b).offset});
  Sizes sizes = sizes_;
  for (size_t e = 0; e < plan.exprs.size(); ++e)
    if (auto s = size_evaluate(plan, static_cast<ExprId>(e), symbols_, sizes); !s) {
      if (std::find(needed.begin(), needed.end(), static_cast<ExprId>(e)) != needed.end())
        return node_error(at, Code::kUsage, s.error().message.c_str());
      sizes.known[e] = 0;
    }
  for (const ExprId e : needed)
    if (e != kNone && sizes.known[idx(e)] && sizes.value[idx(e)] < 0)
      return node_error(at, Code::kUsage, ("the size " + size_format(plan, e) + " is negative").c_str());
  const auto known = [&](ExprId e) { return e != kNone && sizes.known[idx(e)] != 0; };
  for (const BufferId id : i.buffers)
    if (id != kNone && !storage_[idx(id)].at && known(buffer(id).bytes) && known(buffer(id).offset))
      return node_error(at, Code::kDamaged,
                        ("buffer " + std::to_string(id) + " exceeds the memory it is part of").c_str());
  return node_error(at, Code::kDamaged, "it runs before the sizes it needs are known");
}

Status Session::execute() {
  const auto count = static_cast<int32_t>(steps_.size());
  std::optional<Team> team;
  Call c{.session = this, .team = &team, .error = {}};
  for (int32_t at = 0; at < count;) {
    const Step& step = steps_[idx(at)];
    if (!step.ready) return not_ready(at);
    const bool custom = step.custom >= 0;
    if (step.kind != PlanInstr::Kind::kKernel) {
      const bool go_on = step.kind == PlanInstr::Kind::kJumpIfFalse && *static_cast<const uint8_t*>(step.bufs[0]) != 0;
      at = go_on ? at + 1 : step.target;
      continue;
    }
    const int64_t start = profile_.empty() ? 0 : now();
    c.at = at;
    c.step = &step;
    if (custom) {
      LATHE_CHECK(run_custom(at, c));
    } else if (step.parallel) {
      if (!team) team.emplace(threads_);
      team->parallel_for(step.tasks, run_tasks, &c);
    } else if (step.tasks > 0) {
      run_tasks(&c, 0, 0, step.tasks);
    }
    if (c.error) return node_error(at, c.error->code, c.error->message.c_str());
    if (c.fault != LATHE_FAULT_NONE) return node_error(at, Code::kFailed, fault_text(c.fault));
    if (step.changes >= 0 && !custom)
      if (auto status = define(at); !status) return node_error(at, status.error().code, status.error().message.c_str());
    if (start != 0) profile_[idx(at)] += now() - start;
    if (observer_) observer_(at);
    ++at;
  }
  return {};
}

Status Session::run() {
  const Busy busy(busy_);
  if (!busy.entered) return busy_error();
  if (!prepared_) LATHE_CHECK(prepare());
  LATHE_CHECK(execute());
  return swap_states();
}

Status Session::reset() {
  const Busy busy(busy_);
  if (!busy.entered) return busy_error();
  restore_states();
  return {};
}

std::span<const std::byte> Session::state(size_t index) const {
  if (index >= states_.size()) return {};
  return {states_[index].now, idx(states_[index].bytes)};
}

Status Session::set_state(size_t index, const void* data, size_t bytes) {
  const Busy busy(busy_);
  if (!busy.entered) return busy_error();
  if (index >= states_.size())
    return fail(Code::kUsage,
                "no state " + std::to_string(index) + ": the model has " + std::to_string(states_.size()));
  const State& s = states_[index];
  if (idx(s.bytes) != bytes)
    return fail(Code::kUsage, "state \"" + engine_->plan().states[index].name + "\" has " + std::to_string(s.bytes) +
                                  " bytes, got " + std::to_string(bytes));
  if (bytes > 0) std::memcpy(s.now, data, bytes);
  return {};
}

Result<std::span<const int64_t>> Session::output_shape(size_t index) {
  if (index >= outputs_.size()) return fail(Code::kUsage, "no output " + std::to_string(index));
  const PlanPort& port = engine_->plan().outputs[index];
  const PlanBuffer& b = buffer(port.buffer);
  Port& p = outputs_[index];
  for (size_t i = 0; i < b.dims.size(); ++i) {
    if (!sizes_.known[idx(b.dims[i])])
      return fail(Code::kUsage, port_text("output", port) + ": its shape is known once the session has run");
    p.dims[i] = sizes_.value[idx(b.dims[i])];
  }
  return std::span<const int64_t>(p.dims);
}

const void* Session::output_data(size_t index) const {
  return index < outputs_.size() ? storage_[idx(engine_->plan().outputs[index].buffer)].at : nullptr;
}

Session::View Session::view(BufferId id) const {
  if (id < 0 || idx(id) >= storage_.size()) return {};
  const PlanBuffer& b = buffer(id);
  View v;
  for (const ExprId d : b.dims) {
    if (!sizes_.known[idx(d)]) return {};
    v.dims.push_back(sizes_.value[idx(d)]);
  }
  if (!sizes_.known[idx(b.bytes)]) return {};
  v.bytes = idx(sizes_.value[idx(b.bytes)]);
  v.data = storage_[idx(id)].at;
  return v;
}

size_t Session::output_bytes(size_t index) const {
  if (index >= outputs_.size()) return 0;
  const ExprId bytes = buffer(engine_->plan().outputs[index].buffer).bytes;
  return sizes_.known[idx(bytes)] ? idx(sizes_.value[idx(bytes)]) : 0;
}

}  // namespace lathe
