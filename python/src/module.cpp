// SPDX-License-Identifier: Apache-2.0
// The extension module `_lathe`: the C ABI as two thin classes. numpy's types, names and messages are Python's side
// (python/lathe/session.py); here are memory, lifetimes and the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"
#include "lathe/lathe.h"
#include "operators.h"

namespace py = pybind11;

namespace lathe::python {
namespace {

void check(lathe_status status) {
  if (status != LATHE_OK) raise_error(static_cast<int>(status), lathe_last_error());
}

/// A view of a Python buffer: while it lives, the exporter keeps its memory. Made and destroyed with the GIL. (A moved
/// Py_buffer's shape may point into the old one, so only address and size are ever read.)
class Buffer {
 public:
  Buffer() = default;
  Buffer(const py::object& object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw py::error_already_set();
    held_ = true;
  }
  Buffer(Buffer&& other) noexcept : view_(other.view_), held_(std::exchange(other.held_, false)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      release();
      view_ = other.view_;
      held_ = std::exchange(other.held_, false);
    }
    return *this;
  }
  ~Buffer() { release(); }

  [[nodiscard]] void* data() const { return view_.buf; }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(view_.len); }

 private:
  void release() {
    if (held_) PyBuffer_Release(&view_);
    held_ = false;
  }
  Py_buffer view_{};
  bool held_ = false;
};

class Engine {
 public:
  Engine(const py::object& source, bool trust, bool copy_weights, bool check_weights, bool inspect_only,
         const std::string& target) {
    lathe_engine_options options = LATHE_ENGINE_OPTIONS_INIT;
    options.trust = trust;
    options.copy_weights = copy_weights;
    options.check_weights = check_weights;
    options.inspect_only = inspect_only;
    options.target = target.empty() ? nullptr : target.c_str();
    lathe_status status = LATHE_OK;
    if (py::isinstance<py::str>(source)) {
      const auto path = source.cast<std::string>();
      const py::gil_scoped_release release;
      status = lathe_engine_open(path.c_str(), &options, &engine_);
    } else {
      memory_ = Buffer(source, PyBUF_SIMPLE);
      const py::gil_scoped_release release;
      status = lathe_engine_open_memory(memory_.data(), memory_.bytes(), &options, &engine_);
    }
    check(status);
  }
  ~Engine() { lathe_engine_close(&engine_); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] const lathe_engine* get() const { return engine_; }

  /// [(name, dtype, (1, "batch", …)), …]
  [[nodiscard]] py::list ports(lathe_port_kind kind) const {
    py::list out;
    for (size_t i = 0; i < lathe_engine_port_count(engine_, kind); ++i) {
      lathe_port_info info = LATHE_PORT_INFO_INIT;
      check(lathe_engine_port(engine_, kind, i, &info));
      py::tuple shape(info.rank);
      for (size_t d = 0; d < info.rank; ++d) {
        if (info.dims[d] < 0)
          shape[d] = py::str(info.symbols[d]);
        else
          shape[d] = py::int_(info.dims[d]);
      }
      out.append(py::make_tuple(text(info.name), static_cast<int>(info.dtype), shape));
    }
    return out;
  }

  [[nodiscard]] py::dict provenance() const {
    py::dict out;
    for (size_t i = 0; const char* key = lathe_engine_provenance_key(engine_, i); ++i)
      out[text(key)] = text(lathe_engine_provenance(engine_, key));
    return out;
  }

  [[nodiscard]] py::list targets() const {
    py::list out;
    for (size_t i = 0; const char* name = lathe_engine_target_name(engine_, i); ++i) out.append(py::str(name));
    return out;
  }

  /// [(kernel, node, op, tactic, flops, bytes), …]
  [[nodiscard]] py::list instructions() const {
    py::list out;
    for (size_t i = 0; i < lathe_engine_instruction_count(engine_); ++i) {
      lathe_instruction_info info = LATHE_INSTRUCTION_INFO_INIT;
      check(lathe_engine_instruction(engine_, i, &info));
      out.append(py::make_tuple(text(info.kernel), text(info.node), text(info.op), text(info.tactic), info.flops,
                                info.traffic));
    }
    return out;
  }

 private:
  /// Names come from the user's model and need not be UTF-8.
  static py::str text(const char* s) {
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeUTF8(s, static_cast<Py_ssize_t>(std::string_view(s).size()), "surrogateescape"));
  }

  Buffer memory_;  // before engine_: closed after it
  lathe_engine* engine_ = nullptr;
};

class Session {
 public:
  Session(const Engine& engine, int threads)
      : inputs_(lathe_engine_port_count(engine.get(), LATHE_INPUT)),
        outputs_(lathe_engine_port_count(engine.get(), LATHE_OUTPUT)),
        instructions_(lathe_engine_instruction_count(engine.get())) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      lathe_port_info info = LATHE_PORT_INFO_INIT;
      check(lathe_engine_port(engine.get(), LATHE_INPUT, i, &info));
      bits_.push_back(lathe_dtype_bits(info.dtype));
    }
    lathe_session_options options = LATHE_SESSION_OPTIONS_INIT;
    options.threads = threads;
    check(lathe_session_create(engine.get(), &options, &session_));
  }
  ~Session() { lathe_session_close(&session_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// `array`: a C-contiguous buffer of the elements as the engine stores them. Kept until the next bind.
  void bind_input(size_t index, const py::object& array, const std::vector<int64_t>& dims) {
    Buffer buffer(array, PyBUF_C_CONTIGUOUS);
    int64_t bits = bits_.at(index);
    for (const int64_t d : dims)
      if (d < 0 || __builtin_mul_overflow(bits, d, &bits)) raise_error(LATHE_USAGE, "the shape is too large");
    if (buffer.bytes() < static_cast<size_t>((bits + 7) / 8))
      raise_error(LATHE_USAGE, "the buffer is smaller than its shape says");
    check(lathe_session_bind_input(session_, index, buffer.data(), dims.data(), dims.size()));
    inputs_[index] = std::move(buffer);
  }

  /// None: back to the session's own memory.
  void bind_output(size_t index, const py::object& array) {
    if (array.is_none()) {
      check(lathe_session_bind_output(session_, index, nullptr, 0));
      outputs_.at(index) = Buffer();
      return;
    }
    Buffer buffer(array, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    check(lathe_session_bind_output(session_, index, buffer.data(), buffer.bytes()));
    outputs_.at(index) = std::move(buffer);
  }

  /// The outputs' shapes; None where a shape depends on data.
  py::list prepare() {
    lathe_status status = LATHE_OK;
    {
      const py::gil_scoped_release release;
      status = lathe_session_prepare(session_);
    }
    check(status);
    py::list out;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      lathe_tensor tensor = LATHE_TENSOR_INIT;
      const lathe_status known = lathe_session_output(session_, i, &tensor);
      if (known == LATHE_OK)
        out.append(shape_of(tensor));
      else if (known == LATHE_USAGE)
        out.append(py::none());
      else
        check(known);
    }
    return out;
  }

  void run() {
    lathe_status status = LATHE_OK;
    {
      const py::gil_scoped_release release;
      status = lathe_session_run(session_);
    }
    check(status);
  }

  /// (shape, bytearray): a copy of an output of the last run.
  py::tuple output(size_t index) {
    lathe_tensor tensor = LATHE_TENSOR_INIT;
    check(lathe_session_output(session_, index, &tensor));
    auto copy = py::reinterpret_steal<py::object>(
        PyByteArray_FromStringAndSize(static_cast<const char*>(tensor.data), static_cast<Py_ssize_t>(tensor.bytes)));
    if (!copy) throw py::error_already_set();
    return py::make_tuple(shape_of(tensor), copy);
  }

  void reset() { check(lathe_session_reset(session_)); }

  /// (shape, bytearray): a copy of a state.
  py::tuple state(size_t index) {
    lathe_tensor tensor = LATHE_TENSOR_INIT;
    check(lathe_session_state(session_, index, &tensor));
    auto copy = py::reinterpret_steal<py::object>(
        PyByteArray_FromStringAndSize(static_cast<const char*>(tensor.data), static_cast<Py_ssize_t>(tensor.bytes)));
    if (!copy) throw py::error_already_set();
    return py::make_tuple(shape_of(tensor), copy);
  }

  void set_state(size_t index, const py::object& array) {
    const Buffer buffer(array, PyBUF_C_CONTIGUOUS);
    check(lathe_session_set_state(session_, index, buffer.data(), buffer.bytes()));
  }

  /// Nanoseconds of each instruction, summed over `runs` runs.
  std::vector<int64_t> profile(int runs) {
    std::vector<int64_t> sums(instructions_);
    check(lathe_session_set_profile(session_, sums.data(), sums.size()));
    lathe_status status = LATHE_OK;
    {
      const py::gil_scoped_release release;
      for (int i = 0; i < runs && status == LATHE_OK; ++i) status = lathe_session_run(session_);
    }
    lathe_session_set_profile(session_, nullptr, 0);
    check(status);
    return sums;
  }

  [[nodiscard]] size_t arena_bytes() const { return lathe_session_arena_bytes(session_); }

 private:
  static py::tuple shape_of(const lathe_tensor& tensor) {
    py::tuple shape(tensor.rank);
    for (size_t d = 0; d < tensor.rank; ++d) shape[d] = py::int_(tensor.dims[d]);
    return shape;
  }

  std::vector<Buffer> inputs_, outputs_;  // before session_: released after it is closed
  std::vector<int> bits_;
  size_t instructions_;
  lathe_session* session_ = nullptr;
};

}  // namespace
}  // namespace lathe::python

PYBIND11_MODULE(_lathe, m) {
  using namespace lathe::python;
  m.doc() = "The runtime: engines and sessions. Use the package `lathe`, not this.";
  m.def("version", &lathe_version);
  m.def("trust_engine", [](const std::string& identity) { check(lathe_trust_engine(identity.c_str())); });
  m.def("register_operator", &register_operator);
  m.def("load_operators", [](const std::string& path) { check(lathe_load_operators(path.c_str())); });
  py::class_<Engine>(m, "Engine")
      .def(py::init<const py::object&, bool, bool, bool, bool, const std::string&>(), py::arg("source"),
           py::arg("trust") = false, py::arg("copy_weights") = false, py::arg("check_weights") = false,
           py::arg("inspect_only") = false, py::arg("target") = "")
      .def("inputs", [](const Engine& e) { return e.ports(LATHE_INPUT); })
      .def("outputs", [](const Engine& e) { return e.ports(LATHE_OUTPUT); })
      .def("states", [](const Engine& e) { return e.ports(LATHE_STATE); })
      .def("provenance", &Engine::provenance)
      .def("targets", &Engine::targets)
      .def("instructions", &Engine::instructions)
      .def("target", [](const Engine& e) { return lathe_engine_target_name(e.get(), lathe_engine_target(e.get())); })
      .def("identity", [](const Engine& e) { return lathe_engine_identity(e.get()); })
      .def("signer", [](const Engine& e) { return lathe_engine_signer(e.get()); })
      .def("weights_bytes", [](const Engine& e) { return lathe_engine_weights_bytes(e.get()); })
      .def("code_bytes", [](const Engine& e) { return lathe_engine_code_bytes(e.get()); });
  py::class_<Session>(m, "Session")
      .def(py::init<const Engine&, int>(), py::arg("engine"), py::arg("threads"))
      .def("bind_input", &Session::bind_input)
      .def("bind_output", &Session::bind_output)
      .def("prepare", &Session::prepare)
      .def("run", &Session::run)
      .def("output", &Session::output)
      .def("reset", &Session::reset)
      .def("state", &Session::state)
      .def("set_state", &Session::set_state)
      .def("profile", &Session::profile)
      .def("arena_bytes", &Session::arena_bytes);
}
