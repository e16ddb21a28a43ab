// SPDX-License-Identifier: Apache-2.0
// Custom operators whose functions are Python's. What they see is made by python/lathe/operators.py; here are memory,
// the GIL and errors.
#include "operators.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"
#include "lathe/lathe.h"

namespace py = pybind11;

namespace lathe::python {
namespace {

struct Registered {
  std::string domain, name;
  py::object shape, run;
  lathe_operator op = LATHE_OPERATOR_INIT;
};

py::object memory(const void* data, size_t bytes, bool writable) {
  if (!data) return py::none();
  if (bytes == 0) return py::bytes("");
  return py::memoryview::from_memory(const_cast<void*>(data), static_cast<py::ssize_t>(bytes), !writable);
}

py::tuple sizes(const int64_t* dims, size_t rank) {
  py::tuple out(rank);
  for (size_t d = 0; d < rank; ++d) out[d] = py::int_(dims[d]);
  return out;
}

/// [(dtype, dims, memory or None), …]
py::list inputs_of(const lathe_operator_call& call) {
  py::list out;
  for (size_t i = 0; i < call.input_count; ++i) {
    const lathe_tensor& x = *call.inputs[i];
    out.append(py::make_tuple(static_cast<int>(x.dtype), sizes(x.dims, x.rank), memory(x.data, x.bytes, false)));
  }
  return out;
}

py::dict attributes_of(const lathe_operator_call& call) {
  py::dict out;
  for (size_t i = 0; i < call.attribute_count; ++i) {
    const lathe_attribute& a = *call.attributes[i];
    py::list values;
    for (size_t k = 0; k < a.count; ++k) {
      if (a.kind == LATHE_ATTRIBUTE_INTS) values.append(a.ints[k]);
      if (a.kind == LATHE_ATTRIBUTE_FLOATS) values.append(a.floats[k]);
      if (a.kind == LATHE_ATTRIBUTE_STRINGS) values.append(py::bytes(a.strings[k], a.lengths[k]));
      if (a.kind == LATHE_ATTRIBUTE_TENSOR)
        values.append(py::make_tuple(static_cast<int>(a.tensor->dtype), sizes(a.tensor->dims, a.tensor->rank),
                                     py::bytes(static_cast<const char*>(a.tensor->data), a.tensor->bytes)));
    }
    out[py::bytes(a.name)] = py::make_tuple(static_cast<int>(a.kind), values);
  }
  return out;
}

lathe_status guarded(lathe_operator_call* call, const auto& body) {
  const py::gil_scoped_acquire gil;
  const auto failed = [&](const char* why) {
    std::strncpy(call->message, why, sizeof call->message - 1);
    return LATHE_FAILED;
  };
  try {
    body(*static_cast<const Registered*>(call->user));
    return LATHE_OK;
  } catch (const std::exception& error) {  // what Python raised is one of these
    return failed(error.what());
  }
}

lathe_status shape(lathe_operator_call* call) {
  return guarded(call, [&](const Registered& r) {
    const py::list results = r.shape(inputs_of(*call), attributes_of(*call), call->output_count);
    for (size_t i = 0; i < call->output_count; ++i) {
      const auto [dtype, dims] = py::cast<std::pair<int, std::vector<int64_t>>>(results[i]);
      lathe_result& to = *call->outputs[i];
      if (dims.size() > LATHE_MAX_RANK) throw py::value_error("more than 32 dimensions");
      to.dtype = static_cast<lathe_dtype>(dtype);
      to.rank = dims.size();
      std::copy(dims.begin(), dims.end(), to.dims);
    }
  });
}

lathe_status run(lathe_operator_call* call) {
  return guarded(call, [&](const Registered& r) {
    py::list outputs;
    for (size_t i = 0; i < call->output_count; ++i) {
      const lathe_result& y = *call->outputs[i];
      outputs.append(py::make_tuple(static_cast<int>(y.dtype), sizes(y.dims, y.rank), memory(y.data, y.bytes, true)));
    }
    r.run(inputs_of(*call), attributes_of(*call), outputs);
  });
}

}  // namespace

uintptr_t register_operator(const std::string& domain, const std::string& name, const py::object& shape_function,
                            const py::object& run_function, bool varies) {
  // Sessions may use it as long as the process lives, and so it does.
  auto* r = new Registered{domain, name, shape_function, run_function};
  r->op.domain = r->domain.c_str();
  r->op.name = r->name.c_str();
  r->op.user = r;
  r->op.shape = &shape;
  r->op.run = &run;
  r->op.varies = varies ? 1 : 0;
  const lathe_status status = lathe_register_operator(&r->op);
  if (status != LATHE_OK) raise_error(static_cast<int>(status), lathe_last_error());
  return reinterpret_cast<uintptr_t>(&r->op);
}

}  // namespace lathe::python
