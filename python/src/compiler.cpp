// SPDX-License-Identifier: Apache-2.0
// The extension module `_compiler`, which loads LLVM. Imported by python/lathe/compiler.py when something is built.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "compiler/model_cache.h"
#include "compiler/quantization_json.h"
#include "errors.h"
#include "lathe/compiler.hpp"
#include "runtime/operators.h"

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

py::object quantization_dict(const compiler::QuantizeReport& r) {
  return py::module_::import("json").attr("loads")(compiler::quantization_json(r).dump());
}

/// (input, element type, shape, bytes)
using RawArray = std::tuple<std::string, int, std::vector<int64_t>, py::bytes>;

void set_calibration(compiler::BuildOptions& options,
                     const std::vector<std::pair<std::string, std::vector<RawArray>>>& batches,
                     const std::string& identity) {
  auto held = std::make_shared<std::vector<std::vector<compiler::CalibrationArray>>>();
  compiler::CalibrationSet& set = options.quantize.calibration;
  for (const auto& [name, arrays] : batches) {
    set.names.push_back(name);
    auto& batch = held->emplace_back();
    for (const auto& [input, dtype, shape, bytes] : arrays) {
      const std::string_view data = bytes;
      const auto* begin = reinterpret_cast<const std::byte*>(data.data());
      batch.push_back({input, dtype, shape, {begin, begin + data.size()}, false});
    }
  }
  set.identity = identity;
  set.load = [held](size_t i) -> compiler::Result<std::vector<compiler::CalibrationArray>> { return (*held)[i]; };
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
  if (report.quantization) out["quantization"] = quantization_dict(*report.quantization);
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
  py::class_<BuildOptions> build_options(m, "BuildOptions");
  build_options.def(py::init<>())
      .def_readwrite("targets", &BuildOptions::targets)
      .def_readwrite("math", &BuildOptions::math)
      .def_readwrite("precision", &BuildOptions::precision)
      .def_readwrite("tune", &BuildOptions::tune)
      .def_readwrite("shapes", &BuildOptions::shapes)
      .def_readwrite("values", &BuildOptions::values)
      .def_readwrite("min_shapes", &BuildOptions::min_shapes)
      .def_readwrite("opt_shapes", &BuildOptions::opt_shapes)
      .def_readwrite("max_shapes", &BuildOptions::max_shapes)
      .def_readwrite("signature", &BuildOptions::signature)
      .def_readwrite("jobs", &BuildOptions::jobs)
      .def_readwrite("strict", &BuildOptions::strict)
      .def_readwrite("memory_limit", &BuildOptions::memory_limit)
      .def_readwrite("trust", &BuildOptions::trust)
      .def("set_calibration", &set_calibration)
      // The address of a lathe_operator that lives as long as the process.
      .def("add_operator",
           [](BuildOptions& o, uintptr_t address) {
             o.operators.push_back(reinterpret_cast<const lathe_operator*>(address));
           })
      .def("load_operators", [](BuildOptions& o, const std::string& path) {
        const auto loaded = lathe::load_operators(path);
        if (!loaded) lathe::python::raise_error(static_cast<int>(loaded.error().code), loaded.error().message.c_str());
        o.operators.insert(o.operators.end(), loaded->begin(), loaded->end());
      });
  const auto quantize_field = [&](const char* name, auto field) {
    using T = std::remove_reference_t<decltype(field(std::declval<BuildOptions&>()))>;
    build_options.def_property(
        name, [field](BuildOptions& o) { return field(o); },
        [field](BuildOptions& o, T v) { field(o) = std::move(v); });
  };
  quantize_field("calibrator", [](BuildOptions& o) -> std::string& { return o.quantize.calibrator; });
  quantize_field("percentile", [](BuildOptions& o) -> double& { return o.quantize.percentile; });
  quantize_field("activations", [](BuildOptions& o) -> std::string& { return o.quantize.activations; });
  quantize_field("correct_bias", [](BuildOptions& o) -> bool& { return o.quantize.correct_bias; });
  quantize_field("calibration_limit", [](BuildOptions& o) -> int& { return o.quantize.calibration.limit; });
  quantize_field("max_loss", [](BuildOptions& o) -> double& { return o.quantize.max_loss; });
  quantize_field("weight_block", [](BuildOptions& o) -> std::optional<int64_t>& { return o.quantize.weight_block; });
  quantize_field("weight_zeros", [](BuildOptions& o) -> std::optional<bool>& { return o.quantize.weight_zeros; });
  quantize_field("keep_float", [](BuildOptions& o) -> std::vector<std::string>& { return o.quantize.keep_float; });
  m.def("build", [](const std::string& model, const std::string& engine, BuildOptions options,
                    const py::object& progress) {
    return report_dict(without_gil(options, progress, [&] { return lathe::compiler::build(model, engine, options); }));
  });
  m.def("cached_engine", [](const std::string& model, BuildOptions options, const py::object& progress, bool rebuild) {
    const auto cached =
        without_gil(options, progress, [&] { return lathe::compiler::cached_engine(model, options, rebuild); });
    return py::make_tuple(cached.path, cached.built, report_dict(cached.report));
  });
  m.def("quantize", [](const std::string& model, const std::string& output, BuildOptions options,
                       const py::object& progress) {
    const auto made = without_gil(options, progress, [&] { return lathe::compiler::quantize(model, output, options); });
    py::dict out;
    out["nodes"] = made.file.nodes;
    out["bytes"] = made.file.bytes;
    out["external_bytes"] = made.file.external_bytes;
    out["quantization"] = quantization_dict(made.quantization);
    return out;
  });
  m.def("graph_text", [](const std::string& model, BuildOptions options, bool optimised) {
    const std::string text =
        without_gil(options, py::none(), [&] { return lathe::compiler::graph_text(model, options, optimised); });
    // Names come from the user's model and need not be UTF-8.
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
  });
  m.def("targets", &target_list);
}
