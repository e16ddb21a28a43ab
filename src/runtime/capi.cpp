// SPDX-License-Identifier: Apache-2.0
// The C ABI over Engine and Session: argument checks, errors as text, structs that grow.
#include <algorithm>
#include <cstring>

#include "engine/trust.h"
#include "lathe/lathe.h"
#include "runtime/engine.h"
#include "runtime/operators.h"
#include "runtime/session.h"

namespace {

using namespace lathe;

// The C++ enumerations are handed through as they are.
static_assert(LATHE_F32 == int(DType::kF32) && LATHE_I2 == int(DType::kI2) && LATHE_BF16 == int(DType::kBF16));
static_assert(LATHE_USAGE == int(Code::kUsage) && LATHE_NO_TARGET == int(Code::kNoTarget) &&
              LATHE_INTERRUPTED == int(Code::kInterrupted));
static_assert(LATHE_PLACE_NEXT_STATE == int(PlanBuffer::Place::kNextState) &&
              LATHE_PLACE_STATE == int(PlanBuffer::Place::kState));
static_assert(LATHE_PLACE_ALIAS == int(PlanBuffer::Place::kAlias) &&
              LATHE_PLACE_WEIGHT == int(PlanBuffer::Place::kWeight));
static_assert(LATHE_JUMP_IF_FALSE == int(PlanInstr::Kind::kJumpIfFalse) && LATHE_JUMP == int(PlanInstr::Kind::kJump));

thread_local std::string last_error;

lathe_status failed(Error error) {
  last_error = std::move(error.message);
  return static_cast<lathe_status>(error.code);
}
lathe_status misused(const char* function, const char* what) {
  return failed({Code::kUsage, std::string(function) + ": " + what});
}
lathe_status result(Status status) { return status ? LATHE_OK : failed(std::move(status).error()); }

/// A struct of the caller's as this version knows it: what the caller's (shorter) version lacks is zero.
template <class T>
T read_options(const T* given) {
  T all{};
  if (given) std::memcpy(&all, given, std::min(given->size, sizeof(T)));
  return all;
}
/// Fills in as much of the caller's struct as the caller's version has.
template <class T>
void write_info(T* to, T info) {
  info.size = to->size;
  std::memcpy(to, &info, std::min(to->size, sizeof(T)));
}

struct PortText {
  std::vector<int64_t> dims;
  std::vector<std::string> text;
  std::vector<const char*> symbols;
};

std::vector<PortText> port_texts(const Plan& plan, const std::vector<PlanPort>& ports) {
  std::vector<PortText> all;
  for (const PlanPort& port : ports) {
    PortText t;
    for (ExprId d : plan.buffers[static_cast<size_t>(port.buffer)].dims) {
      const SizeExpr& e = plan.exprs[static_cast<size_t>(d)];
      const bool constant = e.kind == SizeExpr::Kind::kConstant;
      t.dims.push_back(constant ? e.value : -1);
      t.text.push_back(constant ? "" : size_format(plan, d));
    }
    for (const std::string& s : t.text) t.symbols.push_back(s.c_str());
    all.push_back(std::move(t));
  }
  return all;
}

int64_t constant_or_none(const Plan& plan, ExprId id) {
  if (id == kNone || plan.exprs[static_cast<size_t>(id)].kind != SizeExpr::Kind::kConstant) return -1;
  return plan.exprs[static_cast<size_t>(id)].value;
}

}  // namespace

struct lathe_engine {
  Engine::Ref engine;
  struct Ports {
    std::vector<PlanPort> all;
    std::vector<PortText> texts;
  };
  Ports inputs, outputs, states;
  std::string identity, signer;

  [[nodiscard]] const Ports& ports(lathe_port_kind kind) const {
    return kind == LATHE_INPUT ? inputs : kind == LATHE_STATE ? states : outputs;
  }
};

struct lathe_session {
  std::unique_ptr<Session> session;
  std::vector<std::pair<lathe_dtype, std::vector<int64_t>>> states;
};

namespace {

EngineOptions engine_options(const lathe_engine_options* given) {
  const lathe_engine_options o = read_options(given);
  EngineOptions options{.trust = o.trust != 0,
                        .copy_weights = o.copy_weights != 0,
                        .check_weights = o.check_weights != 0,
                        .inspect_only = o.inspect_only != 0,
                        .target = o.target ? o.target : "",
                        .keys = std::vector<PublicKey>(o.keys ? o.key_count : 0)};
  for (size_t i = 0; i < options.keys.size(); ++i)
    std::memcpy(options.keys[i].data(), o.keys + i * sizeof(PublicKey), sizeof(PublicKey));
  return options;
}

lathe_status opened(Result<Engine::Ref> engine, lathe_engine** out) {
  if (!engine) return failed(std::move(engine).error());
  const Plan& plan = (*engine)->plan();
  const EngineHead& head = (*engine)->head();
  std::vector<PlanPort> states;
  for (const PlanState& s : plan.states) states.push_back({s.name, s.buffer});
  const auto ports = [&](const std::vector<PlanPort>& all) { return lathe_engine::Ports{all, port_texts(plan, all)}; };
  *out = new lathe_engine{*engine,       ports(plan.inputs),    ports(plan.outputs),
                          ports(states), to_hex(head.identity), head.is_signed ? to_hex(head.signer) : ""};
  return LATHE_OK;
}

}  // namespace

#define LATHE_TEXT_(x) #x
#define LATHE_TEXT(x) LATHE_TEXT_(x)

extern "C" {

const char* lathe_version(void) {
  return LATHE_TEXT(LATHE_VERSION_MAJOR) "." LATHE_TEXT(LATHE_VERSION_MINOR) "." LATHE_TEXT(LATHE_VERSION_PATCH);
}
const char* lathe_last_error(void) { return last_error.c_str(); }
const char* lathe_dtype_name(lathe_dtype dtype) {
  const int raw = dtype;
  return kDTypes[raw > 0 && raw < kDTypeCount ? raw : 0].name.data();
}
int lathe_dtype_bits(lathe_dtype dtype) {
  const int raw = dtype;
  return kDTypes[raw > 0 && raw < kDTypeCount ? raw : 0].bits;
}

lathe_status lathe_register_operator(const lathe_operator* op) {
  if (!op) return misused(__func__, "op must not be NULL");
  return result(register_operator(*op));
}

lathe_status lathe_load_operators(const char* path) {
  if (!path) return misused(__func__, "path must not be NULL");
  auto loaded = load_operators(path);
  return loaded ? LATHE_OK : failed(std::move(loaded).error());
}

lathe_status lathe_engine_open(const char* path, const lathe_engine_options* options, lathe_engine** out) {
  if (!path || !out) return misused(__func__, "path and out must not be NULL");
  return opened(Engine::open(path, engine_options(options)), out);
}

lathe_status lathe_engine_open_memory(const void* data, size_t bytes, const lathe_engine_options* options,
                                      lathe_engine** out) {
  if (!data || !out) return misused(__func__, "data and out must not be NULL");
  return opened(Engine::open_memory({static_cast<const std::byte*>(data), bytes}, engine_options(options)), out);
}

void lathe_engine_close(lathe_engine** engine) {
  if (engine) delete std::exchange(*engine, nullptr);
}

size_t lathe_engine_port_count(const lathe_engine* engine, lathe_port_kind kind) {
  return engine ? engine->ports(kind).all.size() : 0;
}

lathe_status lathe_engine_port(const lathe_engine* engine, lathe_port_kind kind, size_t index, lathe_port_info* info) {
  if (!engine || !info) return misused(__func__, "engine and info must not be NULL");
  const auto& [ports, texts] = engine->ports(kind);
  if (index >= ports.size()) return misused(__func__, "index out of range");
  const PortText& text = texts[index];
  const PlanBuffer& b = engine->engine->plan().buffers[static_cast<size_t>(ports[index].buffer)];
  write_info(info, {0, ports[index].name.c_str(), static_cast<lathe_dtype>(b.dtype), text.dims.size(), text.dims.data(),
                    text.symbols.data()});
  return LATHE_OK;
}

lathe_status lathe_engine_find_port(const lathe_engine* engine, lathe_port_kind kind, const char* name, size_t* index) {
  if (!engine || !name || !index) return misused(__func__, "engine, name and index must not be NULL");
  const auto& ports = engine->ports(kind).all;
  const auto at = std::find_if(ports.begin(), ports.end(), [&](const PlanPort& p) { return p.name == name; });
  if (at != ports.end()) {
    *index = static_cast<size_t>(at - ports.begin());
    return LATHE_OK;
  }
  std::string text = std::string("no ") +
                     (kind == LATHE_INPUT   ? "input"
                      : kind == LATHE_STATE ? "state"
                                            : "output") +
                     " \"" + name + "\"; there are:";
  for (const PlanPort& p : ports) text += " \"" + p.name + "\"";
  return failed({Code::kUsage, std::move(text)});
}

const char* lathe_engine_provenance(const lathe_engine* engine, const char* key) {
  if (!engine || !key) return nullptr;
  for (const Property& p : engine->engine->head().provenance)
    if (p.key == key) return p.value.c_str();
  return nullptr;
}

const char* lathe_engine_provenance_key(const lathe_engine* engine, size_t index) {
  if (!engine || index >= engine->engine->head().provenance.size()) return nullptr;
  return engine->engine->head().provenance[index].key.c_str();
}

const char* lathe_engine_identity(const lathe_engine* engine) { return engine ? engine->identity.c_str() : ""; }
const char* lathe_engine_signer(const lathe_engine* engine) { return engine ? engine->signer.c_str() : ""; }

lathe_status lathe_trust_engine(const char* identity) {
  if (!identity) return misused(__func__, "identity must not be NULL");
  return result(trust_engine(identity));
}

const char* lathe_engine_target_name(const lathe_engine* engine, size_t index) {
  if (!engine || index >= engine->engine->head().targets.size()) return nullptr;
  return engine->engine->head().targets[index].name.c_str();
}

size_t lathe_engine_target(const lathe_engine* engine) {
  return engine ? static_cast<size_t>(&engine->engine->target() - engine->engine->head().targets.data()) : 0;
}

int64_t lathe_engine_arena_bytes(const lathe_engine* engine) {
  return engine ? engine->engine->plan().arena_bytes : -1;
}
int64_t lathe_engine_weights_bytes(const lathe_engine* engine) {
  return engine ? static_cast<int64_t>(engine->engine->head().weights_bytes) : -1;
}
int64_t lathe_engine_code_bytes(const lathe_engine* engine) {
  return engine ? static_cast<int64_t>(engine->engine->target().code.size()) : -1;
}

size_t lathe_engine_instruction_count(const lathe_engine* engine) {
  return engine ? engine->engine->plan().instrs.size() : 0;
}

lathe_status lathe_engine_instruction(const lathe_engine* engine, size_t index, lathe_instruction_info* info) {
  if (!engine || !info) return misused(__func__, "engine and info must not be NULL");
  const Plan& plan = engine->engine->plan();
  if (index >= plan.instrs.size()) return misused(__func__, "index out of range");
  const PlanInstr& i = plan.instrs[index];
  const bool kernel = i.kind == PlanInstr::Kind::kKernel;
  write_info(info, {0, static_cast<lathe_instruction_kind>(i.kind),
                    kernel ? plan.kernels[static_cast<size_t>(i.kernel)].name.c_str() : "", i.node.c_str(),
                    i.op.c_str(), i.tactic.c_str(), i.flops, i.traffic, i.buffers.size(), i.serial ? 1 : 0, i.target});
  return LATHE_OK;
}

lathe_status lathe_engine_instruction_buffer(const lathe_engine* engine, size_t index, size_t buffer,
                                             lathe_buffer_info* info) {
  if (!engine || !info) return misused(__func__, "engine and info must not be NULL");
  const Plan& plan = engine->engine->plan();
  if (index >= plan.instrs.size() || buffer >= plan.instrs[index].buffers.size())
    return misused(__func__, "index out of range");
  const BufferId id = plan.instrs[index].buffers[buffer];
  lathe_buffer_info all = LATHE_BUFFER_INFO_INIT;
  if (id != kNone) {
    const PlanBuffer& b = plan.buffers[static_cast<size_t>(id)];
    all = {0,
           b.name.c_str(),
           static_cast<lathe_dtype>(b.dtype),
           static_cast<lathe_place>(b.place),
           constant_or_none(plan, b.bytes),
           id};
  }
  write_info(info, all);
  return LATHE_OK;
}

lathe_status lathe_session_create(const lathe_engine* engine, const lathe_session_options* options,
                                  lathe_session** out) {
  if (!engine || !out) return misused(__func__, "engine and out must not be NULL");
  auto session = Session::create(engine->engine, {.threads = read_options(options).threads});
  if (!session) return failed(std::move(session).error());
  *out = new lathe_session{std::move(*session), {}};
  const auto& [states, texts] = engine->ports(LATHE_STATE);
  for (size_t i = 0; i < states.size(); ++i)
    (*out)->states.emplace_back(
        static_cast<lathe_dtype>(engine->engine->plan().buffers[static_cast<size_t>(states[i].buffer)].dtype),
        texts[i].dims);
  return LATHE_OK;
}

void lathe_session_close(lathe_session** session) {
  if (session) delete std::exchange(*session, nullptr);
}

lathe_status lathe_session_bind_input(lathe_session* session, size_t index, const void* data, const int64_t* dims,
                                      size_t rank) {
  if (!session || (!dims && rank > 0)) return misused(__func__, "session and dims must not be NULL");
  return result(session->session->bind_input(index, data, {dims, rank}));
}

lathe_status lathe_session_bind_output(lathe_session* session, size_t index, void* data, size_t capacity) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->bind_output(index, data, capacity));
}

lathe_status lathe_session_run(lathe_session* session) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->run());
}

lathe_status lathe_session_prepare(lathe_session* session) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->prepare());
}

lathe_status lathe_session_output(lathe_session* session, size_t index, lathe_tensor* tensor) {
  if (!session || !tensor) return misused(__func__, "session and tensor must not be NULL");
  Session& s = *session->session;
  auto dims = s.output_shape(index);
  if (!dims) return failed(std::move(dims).error());
  const Plan& plan = s.engine().plan();
  const PlanBuffer& b = plan.buffers[static_cast<size_t>(plan.outputs[index].buffer)];
  write_info(tensor, {0, s.output_data(index), s.output_bytes(index), static_cast<lathe_dtype>(b.dtype), dims->size(),
                      dims->data()});
  return LATHE_OK;
}

lathe_status lathe_session_reset(lathe_session* session) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->reset());
}

lathe_status lathe_session_state(const lathe_session* session, size_t index, lathe_tensor* tensor) {
  if (!session || !tensor) return misused(__func__, "session and tensor must not be NULL");
  if (index >= session->states.size()) return misused(__func__, "index out of range");
  const auto bytes = session->session->state(index);
  const auto& [dtype, dims] = session->states[index];
  write_info(tensor, {0, bytes.data(), bytes.size(), dtype, dims.size(), dims.data()});
  return LATHE_OK;
}

lathe_status lathe_session_set_state(lathe_session* session, size_t index, const void* data, size_t bytes) {
  if (!session || (!data && bytes > 0)) return misused(__func__, "session and data must not be NULL");
  return result(session->session->set_state(index, data, bytes));
}

lathe_status lathe_session_set_threads(lathe_session* session, int threads) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->set_threads(threads));
}

lathe_status lathe_session_set_profile(lathe_session* session, int64_t* nanoseconds, size_t count) {
  if (!session) return misused(__func__, "session must not be NULL");
  return result(session->session->set_profile(nanoseconds ? std::span(nanoseconds, count) : std::span<int64_t>()));
}

size_t lathe_session_arena_bytes(const lathe_session* session) { return session ? session->session->arena_bytes() : 0; }

}  // extern "C"
