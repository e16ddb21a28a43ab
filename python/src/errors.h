// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace lathe::python {

/// Throws the exception of package `lathe` that stands for a status.
[[noreturn]] inline void raise_error(int code, const std::string& message) {
  namespace py = pybind11;
  const py::object error = py::module_::import("lathe.errors").attr("from_code")(code, py::bytes(message));
  PyErr_SetObject(py::type::handle_of(error).ptr(), error.ptr());
  throw py::error_already_set();
}

}  // namespace lathe::python
