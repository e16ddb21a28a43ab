// SPDX-License-Identifier: Apache-2.0
// The extension module `_compiler`, which loads LLVM. Imported by python/lathe/compiler.py when something is built.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "compiler/model_cache.h"
#include "errors.h"
#include "lathe/compiler.hpp"

namespace py = pybind11;

namespace lathe::python {
namespace {

/// Runs `work` without the GIL. Between its steps Python's signals are looked at, and `progress` (or None) is called;
/// what it raises, Ctrl-C included, stops the build and is raised here.
template <class Work>
auto without_gil(compiler::BuildOptions& options, const py::object& progress, Work&& work) {
  std::optional<py::error_already_set> raised;
  options.progress = [&](const char* stage, double done) {
    const py::gil_scoped_acquire acquire;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (progress.is_none()) return true;
      const py::object answer = progress(stage, done);
      return answer.is_none() || answer.cast<bool>();
    } catch (py::error_already_set& error) {
      raised.emplace(std::move(error));
      return false;
    }
  };
  const auto result = [&] {
    const py::gil_scoped_release release;
    return work();
  }();
  if (raised) throw std::move(*raised);
  if (!result) raise_error(result.error().code, result.error().message);
  return *result;
}

py::dict report_dict(const compiler::BuildReport& report) {
  py::dict seconds;
  for (const auto& [stage, s] : report.seconds) seconds[py::str(stage)] = s;
  py::dict out;
  out["engine_hash"] = report.engine_hash;
  out["engine_bytes"] = report.engine_bytes;
  out["weight_bytes"] = report.weight_bytes;
  out["kernels"] = report.kernels;
  out["instructions"] = report.instructions;
  out["seconds"] = seconds;
  return out;
}

py::list target_list() {
  py::list out;
  for (const compiler::TargetInfo& t : compiler::targets()) {
    py::dict target;
    target["name"] = t.name;
    target["arch"] = t.arch;
    target["needs"] = t.needs;
    target["runs_here"] = t.runs_here;
    target["is_host_default"] = t.is_host_default;
    out.append(target);
  }
  return out;
}

}  // namespace
}  // namespace lathe::python

PYBIND11_MODULE(_compiler, m) {
  using namespace lathe::python;
  using lathe::compiler::BuildOptions;
  m.doc() = "The compiler. Use the package `lathe`, not this.";
  py::class_<BuildOptions>(m, "BuildOptions")
      .def(py::init<>())
      .def_readwrite("targets", &BuildOptions::targets)
      .def_readwrite("math", &BuildOptions::math)
      .def_readwrite("precision", &BuildOptions::precision)
      .def_readwrite("tune", &BuildOptions::tune)
      .def_readwrite("shapes", &BuildOptions::shapes)
      .def_readwrite("min_shapes", &BuildOptions::min_shapes)
      .def_readwrite("opt_shapes", &BuildOptions::opt_shapes)
      .def_readwrite("max_shapes", &BuildOptions::max_shapes)
      .def_readwrite("signature", &BuildOptions::signature)
      .def_readwrite("jobs", &BuildOptions::jobs)
      .def_readwrite("strict", &BuildOptions::strict)
      .def_readwrite("memory_limit", &BuildOptions::memory_limit)
      .def_readwrite("trust", &BuildOptions::trust);
  m.def("build", [](const std::string& model, const std::string& engine, BuildOptions options,
                    const py::object& progress) {
    return report_dict(without_gil(options, progress, [&] { return lathe::compiler::build(model, engine, options); }));
  });
  m.def("cached_engine", [](const std::string& model, BuildOptions options, const py::object& progress, bool rebuild) {
    const auto cached =
        without_gil(options, progress, [&] { return lathe::compiler::cached_engine(model, options, rebuild); });
    return py::make_tuple(cached.path, cached.built, report_dict(cached.report));
  });
  m.def("graph_text", [](const std::string& model, BuildOptions options, bool optimised) {
    return without_gil(options, py::none(), [&] { return lathe::compiler::graph_text(model, options, optimised); });
  });
  m.def("targets", &target_list);
}
