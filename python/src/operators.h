// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>

namespace lathe::python {

/// Registers an operator whose functions are `shape(inputs, attributes, output count)` and `run(inputs, attributes,
/// outputs)`; returns the address of its lathe_operator, which lives as long as the process.
uintptr_t register_operator(const std::string& domain, const std::string& name, const pybind11::object& shape_function,
                            const pybind11::object& run_function, bool varies);

}  // namespace lathe::python
