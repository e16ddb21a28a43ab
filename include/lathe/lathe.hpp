// SPDX-License-Identifier: Apache-2.0
// lathe for C++23: a header over lathe.h (link liblathe_runtime). Nothing throws; what can fail returns std::expected.
//
//   auto engine  = lathe::Engine::open("model.lathe");
//   auto session = lathe::Session::create(*engine);
//   session->bind_input("image", pixels, {1, 224, 224, 3});
//   session->run();
//   std::span<const float> scores = session->output("scores")->as<float>();
//
// Names live in an inline namespace, so that programs which also contain lathe's own C++ (src/) link without clashes;
// a source file includes this header or those, not both.
#ifndef LATHE_HPP
#define LATHE_HPP

#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "lathe/lathe.h"

namespace lathe::inline api_v0 {

struct Error {
  lathe_status status = LATHE_FAILED;
  std::string message;
};
template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// The element type of a C++ type; LATHE_UNDEFINED if it has none of its own (half, bfloat16: use raw memory).
template <class T>
constexpr lathe_dtype dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>)
    return LATHE_F32;
  else if constexpr (std::is_same_v<U, double>)
    return LATHE_F64;
  else if constexpr (std::is_same_v<U, bool>)
    return LATHE_BOOL;
  else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>)
    return sizeof(U) == 1 ? LATHE_I8 : sizeof(U) == 2 ? LATHE_I16 : sizeof(U) == 4 ? LATHE_I32 : LATHE_I64;
  else if constexpr (std::is_integral_v<U>)
    return sizeof(U) == 1 ? LATHE_U8 : sizeof(U) == 2 ? LATHE_U16 : sizeof(U) == 4 ? LATHE_U32 : LATHE_U64;
  else
    return LATHE_UNDEFINED;
}

namespace detail {
inline Error last_error(lathe_status status) { return {status, lathe_last_error()}; }
inline Status check(lathe_status status) {
  if (status == LATHE_OK) return {};
  return std::unexpected(last_error(status));
}
inline Status usage(std::string message) { return std::unexpected(Error{LATHE_USAGE, std::move(message)}); }
struct Close {
  void operator()(lathe_engine* e) const { lathe_engine_close(&e); }
  void operator()(lathe_session* s) const { lathe_session_close(&s); }
};
}  // namespace detail

/// An input or output.
struct Port {
  std::string_view name;
  lathe_dtype dtype = LATHE_UNDEFINED;
  std::span<const int64_t> dims;          ///< -1: symbolic
  std::vector<std::string_view> symbols;  ///< "" or the symbolic dimension's name
};

struct EngineOptions {
  bool trust = false;
  bool copy_weights = false;
  bool check_weights = false;
  bool inspect_only = false;
  std::string target = {};
};

/// A loaded engine (lathe_engine). May be used by any number of threads; views it returns live as long as it does.
class Engine {
 public:
  static Result<Engine> open(const std::string& path, const EngineOptions& options = {}) {
    const lathe_engine_options o = c_options(options);
    return made([&](lathe_engine** out) { return lathe_engine_open(path.c_str(), &o, out); });
  }
  /// `file` stays valid while the engine and its sessions live, unless copy_weights is set.
  static Result<Engine> open_memory(std::span<const std::byte> file, const EngineOptions& options = {}) {
    const lathe_engine_options o = c_options(options);
    return made([&](lathe_engine** out) { return lathe_engine_open_memory(file.data(), file.size(), &o, out); });
  }

  [[nodiscard]] std::vector<Port> inputs() const { return ports(LATHE_INPUT); }
  [[nodiscard]] std::vector<Port> outputs() const { return ports(LATHE_OUTPUT); }
  /// What the model remembers from one run to the next.
  [[nodiscard]] std::vector<Port> states() const { return ports(LATHE_STATE); }
  [[nodiscard]] std::string_view target() const { return lathe_engine_target_name(get(), lathe_engine_target(get())); }
  [[nodiscard]] std::string_view identity() const { return lathe_engine_identity(get()); }
  /// For what this header does not cover.
  [[nodiscard]] const lathe_engine* get() const { return engine_.get(); }

 private:
  explicit Engine(lathe_engine* e) : engine_(e) {}
  static lathe_engine_options c_options(const EngineOptions& o) {
    lathe_engine_options c = LATHE_ENGINE_OPTIONS_INIT;
    c.trust = o.trust;
    c.copy_weights = o.copy_weights;
    c.check_weights = o.check_weights;
    c.inspect_only = o.inspect_only;
    c.target = o.target.empty() ? nullptr : o.target.c_str();
    return c;
  }
  template <class F>
  static Result<Engine> made(F&& open) {
    lathe_engine* e = nullptr;
    if (const lathe_status s = open(&e); s != LATHE_OK) return std::unexpected(detail::last_error(s));
    return Engine(e);
  }
  [[nodiscard]] std::vector<Port> ports(lathe_port_kind kind) const {
    std::vector<Port> all;
    for (size_t i = 0; i < lathe_engine_port_count(get(), kind); ++i) {
      lathe_port_info p = LATHE_PORT_INFO_INIT;
      lathe_engine_port(get(), kind, i, &p);
      all.push_back({p.name, p.dtype, {p.dims, p.rank}, {p.symbols, p.symbols + p.rank}});
    }
    return all;
  }

  std::unique_ptr<lathe_engine, detail::Close> engine_;
};

/// An output after a run: views that live until the session's next bind or run.
struct Tensor {
  std::span<const std::byte> bytes;
  lathe_dtype dtype = LATHE_UNDEFINED;
  std::span<const int64_t> dims;
  /// The elements; empty if they are of another type.
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    if (dtype != dtype_of<T>()) return {};
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

struct SessionOptions {
  int threads = 0;  ///< 0: all CPUs this process may use
};

/// A running instance (lathe_session), used by one thread at a time. Keeps what it needs of its engine alive.
class Session {
 public:
  static Result<Session> create(const Engine& engine, const SessionOptions& options = {}) {
    lathe_session_options o = LATHE_SESSION_OPTIONS_INIT;
    o.threads = options.threads;
    lathe_session* s = nullptr;
    if (const lathe_status status = lathe_session_create(engine.get(), &o, &s); status != LATHE_OK)
      return std::unexpected(detail::last_error(status));
    Session session(s);
    session.inputs_ = own(engine.inputs());
    session.outputs_ = own(engine.outputs());
    session.states_ = own(engine.states());
    return session;
  }

  /// Reads the input from `data` (not copied) with shape `dims`.
  template <std::ranges::contiguous_range R>
    requires std::ranges::sized_range<R>
  Status bind_input(std::string_view name, const R& data, std::initializer_list<int64_t> dims) {
    return bind_input(name, data, std::span<const int64_t>(dims.begin(), dims.size()));
  }
  template <std::ranges::contiguous_range R>
    requires std::ranges::sized_range<R>
  Status bind_input(std::string_view name, const R& data, std::span<const int64_t> dims) {
    using T = std::ranges::range_value_t<R>;
    const size_t index = find(inputs_, name);
    if (index == kNotFound) return detail::usage("no input \"" + std::string(name) + "\"");
    if (inputs_[index].dtype != dtype_of<T>())
      return detail::usage("input \"" + std::string(name) + "\" has elements of type " +
                           lathe_dtype_name(inputs_[index].dtype));
    uint64_t elements = 1;
    for (int64_t d : dims)
      if (d < 0 || __builtin_mul_overflow(elements, static_cast<uint64_t>(d), &elements))
        return detail::usage("input \"" + std::string(name) + "\": invalid shape");
    if (elements > std::ranges::size(data))
      return detail::usage("input \"" + std::string(name) + "\": its shape has " + std::to_string(elements) +
                           " elements and the data " + std::to_string(std::ranges::size(data)));
    return bind_input(index, std::ranges::data(data), dims);
  }
  /// The same for memory of any type.
  Status bind_input(size_t index, const void* data, std::span<const int64_t> dims) {
    return detail::check(lathe_session_bind_input(get(), index, data, dims.data(), dims.size()));
  }
  /// Writes the output to `memory`; an empty span: to the session's own.
  Status bind_output(std::string_view name, std::span<std::byte> memory) {
    const size_t index = find(outputs_, name);
    if (index == kNotFound) return detail::usage("no output \"" + std::string(name) + "\"");
    return detail::check(
        lathe_session_bind_output(get(), index, memory.empty() ? nullptr : memory.data(), memory.size()));
  }

  Status run() { return detail::check(lathe_session_run(get())); }

  /// State goes back to what it was before the first run.
  Status reset() { return detail::check(lathe_session_reset(get())); }
  /// What a state holds now; lives until the next run, reset or set_state.
  Result<Tensor> state(std::string_view name) {
    const size_t index = find(states_, name);
    if (index == kNotFound) return std::unexpected(Error{LATHE_USAGE, "no state \"" + std::string(name) + "\""});
    lathe_tensor t = LATHE_TENSOR_INIT;
    if (const lathe_status s = lathe_session_state(get(), index, &t); s != LATHE_OK)
      return std::unexpected(detail::last_error(s));
    return Tensor{{static_cast<const std::byte*>(t.data), t.bytes}, t.dtype, {t.dims, t.rank}};
  }
  /// `data` is copied: exactly as many bytes as state() has.
  Status set_state(std::string_view name, std::span<const std::byte> data) {
    const size_t index = find(states_, name);
    if (index == kNotFound) return detail::usage("no state \"" + std::string(name) + "\"");
    return detail::check(lathe_session_set_state(get(), index, data.data(), data.size()));
  }

  Result<Tensor> output(size_t index) {
    lathe_tensor t = LATHE_TENSOR_INIT;
    if (const lathe_status s = lathe_session_output(get(), index, &t); s != LATHE_OK)
      return std::unexpected(detail::last_error(s));
    return Tensor{{static_cast<const std::byte*>(t.data), t.bytes}, t.dtype, {t.dims, t.rank}};
  }
  Result<Tensor> output(std::string_view name) {
    const size_t index = find(outputs_, name);
    if (index == kNotFound) return std::unexpected(Error{LATHE_USAGE, "no output \"" + std::string(name) + "\""});
    return output(index);
  }

  [[nodiscard]] lathe_session* get() const { return session_.get(); }

 private:
  struct Named {
    std::string name;
    lathe_dtype dtype;
  };
  static constexpr size_t kNotFound = SIZE_MAX;

  explicit Session(lathe_session* s) : session_(s) {}
  static std::vector<Named> own(const std::vector<Port>& ports) {
    std::vector<Named> all;
    for (const Port& p : ports) all.push_back({std::string(p.name), p.dtype});
    return all;
  }
  static size_t find(const std::vector<Named>& ports, std::string_view name) {
    for (size_t i = 0; i < ports.size(); ++i)
      if (ports[i].name == name) return i;
    return kNotFound;
  }

  std::unique_ptr<lathe_session, detail::Close> session_;
  std::vector<Named> inputs_, outputs_, states_;
};

}  // namespace lathe::inline api_v0

#endif
