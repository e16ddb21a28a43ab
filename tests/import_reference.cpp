// SPDX-License-Identifier: Apache-2.0
// Imported models under the reference evaluation against the outputs that the ONNX backend suite expects. Cases come
// from the folder $LATHE_ONNX_CASES (made by `python/onnx_node_suite.py --dump`); those listed in
// onnx_reference_passing.txt must pass. With LATHE_ONNX_UPDATE=1 all are run and the list is extended by what
// passes; LATHE_ONNX_LOG names a file for every result.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "import/import.h"
#include "import/onnx/tensor.h"
#include "ir/evaluate.h"

namespace {

namespace fs = std::filesystem;
using namespace lathe;  // NOLINT(google-build-using-namespace)

Result<Tensor> read_pb(const fs::path& path) {
  LATHE_TRY(const auto file, onnx::map_file(path.string()));
  LATHE_TRY(const auto proto, onnx::proto::parse_tensor(file.bytes));
  return onnx::TensorReader(file, path.parent_path().string(), size_t{1} << 32).read(proto);
}

std::string difference(const Tensor& want, const Tensor& got, double rtol, double atol) {
  if (want.dtype() != got.dtype())
    return "dtype " + std::string(dtype_name(got.dtype())) + " instead of " + std::string(dtype_name(want.dtype()));
  if (want.dims() != got.dims())
    return "shape " + shape_str(to_shape(got.dims())) + " instead of " + shape_str(to_shape(want.dims()));
  if (want.dtype() == DType::kString) return want.strings() == got.strings() ? "" : "strings differ";
  if (dtype_bits(want.dtype()) < 8 || !dtype_info(want.dtype()).is_float)
    if (std::memcmp(want.bytes().data(), got.bytes().data(), want.bytes().size()) == 0) return "";
  for (int64_t i = 0; i < want.count(); ++i) {
    const double a = want.f64_at(i), b = got.f64_at(i);
    const bool same = a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= atol + rtol * std::abs(a);
    if (!same || (!dtype_info(want.dtype()).is_float && a != b))
      return "element " + std::to_string(i) + " is " + std::to_string(b) + " instead of " + std::to_string(a);
  }
  return "";
}

// "" passed; "unsupported: …"; "failed: …".
std::string run_case(const fs::path& dir) {
  std::ifstream meta(dir / "data.json");
  const auto json = nlohmann::json::parse(meta, nullptr, false);
  const auto number = [&](const char* key, double otherwise) {
    return json.is_object() && json.contains(key) && json[key].is_number() ? json[key].get<double>() : otherwise;
  };
  const double rtol = number("rtol", 1e-3), atol = number("atol", 1e-7);
  auto graph = import_model((dir / "model.onnx").string());
  if (!graph) return (graph.error().code == Code::kUnsupported ? "unsupported: " : "failed: ") + graph.error().message;
  for (int set = 0; fs::exists(dir / ("test_data_set_" + std::to_string(set))); ++set) {
    const fs::path data = dir / ("test_data_set_" + std::to_string(set));
    std::map<std::string, Tensor> inputs;
    for (size_t i = 0; i < (*graph)->inputs.size(); ++i) {
      auto t = read_pb(data / ("input_" + std::to_string(i) + ".pb"));
      if (!t) return "unsupported: " + t.error().message;
      inputs.emplace((*graph)->value((*graph)->inputs[i]).name, *std::move(t));
    }
    const auto got = evaluate_graph(**graph, inputs);
    if (!got) return (got.error().code == Code::kUnsupported ? "unsupported: " : "failed: ") + got.error().message;
    for (size_t i = 0; i < got->size(); ++i) {
      const auto want = read_pb(data / ("output_" + std::to_string(i) + ".pb"));
      if (!want) return "unsupported: " + want.error().message;
      const std::string d = difference(*want, (*got)[i], rtol, atol);
      if (!d.empty()) return "failed: output " + std::to_string(i) + ": " + d;
    }
  }
  return "";
}

// In a process of its own: a crash is one failed case.
std::string run_isolated(const fs::path& dir) {
  int pipes[2];
  if (pipe(pipes) != 0) return "failed: pipe";
  const pid_t child = fork();
  if (child == 0) {
    close(pipes[0]);
    alarm(60);
    const std::string r = run_case(dir);
    const auto written = write(pipes[1], r.data(), std::min<size_t>(r.size(), 4000));
    _exit(written < 0 ? 1 : 0);
  }
  close(pipes[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(pipes[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(pipes[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "failed: crashed with status " + std::to_string(status);
}

std::set<std::string> read_list(const fs::path& path) {
  std::set<std::string> names;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') names.insert(line);
  return names;
}

// $LATHE_ONNX_CASES, or where onnx_node_suite.py keeps them.
fs::path case_folder() {
  if (const char* given = std::getenv("LATHE_ONNX_CASES")) return given;
  const char* build = std::getenv("LATHE_BUILD");
  if (!build || !fs::is_directory(build)) return {};
  for (const auto& entry : fs::directory_iterator(build))
    if (entry.path().filename().string().starts_with("onnx_cases-") && entry.path().extension() != ".part")
      return entry.path();
  return {};
}

TEST(OnnxReference, ListedCasesPass) {
  const fs::path root = case_folder();
  const char* source = std::getenv("LATHE_SOURCE");
  if (root.empty() || !source)
    GTEST_SKIP() << "there are no cases; make them with tests/python/onnx_node_suite.py --dump";
  const fs::path list_path = fs::path(source) / "tests" / "onnx_reference_passing.txt";
  auto listed = read_list(list_path);
  std::map<std::string, int> counts;
  std::ofstream log;
  if (const char* path = std::getenv("LATHE_ONNX_LOG")) log.open(path);
  for (const auto& kind : fs::directory_iterator(root)) {
    if (!kind.is_directory()) continue;
    for (const auto& dir : fs::directory_iterator(kind.path())) {
      const std::string name = kind.path().filename().string() + "/" + dir.path().filename().string();
      if (!std::getenv("LATHE_ONNX_UPDATE") && !listed.contains(name)) continue;
      const std::string r = run_isolated(dir.path());
      ++counts[r.empty() ? "passed" : r.substr(0, r.find(':'))];
      log << name << ": " << (r.empty() ? "passed" : r) << "\n";
      if (r.empty() && std::getenv("LATHE_ONNX_UPDATE")) listed.insert(name);
      if (listed.contains(name)) {
        EXPECT_EQ(r, "") << name;
      }
    }
  }
  for (const auto& [what, n] : counts) std::cout << n << " " << what << "\n";
  if (std::getenv("LATHE_ONNX_UPDATE")) {
    std::ofstream out(list_path);
    out << "# Cases of the ONNX backend suite that pass under the reference evaluation. The list only grows.\n";
    for (const auto& name : listed) out << name << "\n";
  }
}

}  // namespace
