// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/ranges.h>

#include "base/cpu_features.h"
#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/compiler_library.h"
#include "cli/python.h"

namespace lathe::cli {
namespace {

/// What one check found. `fix` is the way out, "" when nothing is wrong.
struct Finding {
  enum class State { kOk, kWarning, kProblem };
  std::string what;
  State state = State::kOk;
  std::string found, fix;
};
using State = Finding::State;

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

Finding check_cpu() {
  const HostCpu& cpu = host_cpu();
  Finding f{"processor", State::kOk, (cpu.model.empty() ? cpu.arch : cpu.model + " (" + cpu.arch + ")"), ""};
  const char* fast = cpu.arch == "x86_64" ? "avx2" : cpu.arch == "aarch64" ? "neon" : nullptr;
  if (fast && !cpu.has(fast)) {
    f.state = State::kWarning;
    f.found += std::string(", without ") + fast;
    f.fix = "no fast code path exists for this processor; in a virtual machine, pass the host's CPU through";
  }
  return f;
}

Finding check_levels() {
  const auto table = compiler_library();
  if (!table) return {"targets", State::kWarning, "unknown without the compiler", "see the compiler below"};
  std::vector<std::string> here;
  for (const auto& t : (*table)->targets())
    if (t.runs_here) here.push_back(t.is_host_default ? t.name + " (default)" : t.name);
  if (here.empty())
    return {"targets", State::kProblem, "engines can be built, but none runs on this processor",
            "build for another machine with --target (see `lathe targets`)"};
  return {"targets", State::kOk, fmt::format("run here: {}", fmt::join(here, ", ")), ""};
}

Finding check_cpus() {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  Finding f{"threads", State::kOk, fmt::format("{} of {} CPUs are for this process", usable_cpus(), online), ""};
  if (usable_cpus() < online) {
    f.state = State::kWarning;
    f.fix = "limited by affinity or by a container's CPU quota; --threads 0 takes the limit into account";
  }
  return f;
}

Finding check_memory() {
  const std::string limit = first_line("/sys/fs/cgroup/memory.max");
  const double total = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  Finding f{"memory", State::kOk, human_bytes(total), ""};
  if (limit.empty() || limit == "max") return f;
  f.found += ", limited to " + human_bytes(std::strtod(limit.c_str(), nullptr)) + " by the container";
  return f;
}

Finding check_huge_pages() {
  const std::string mode = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  if (mode.empty()) return {"huge pages", State::kOk, "this system does not say", ""};
  if (mode.find("[never]") == std::string::npos) return {"huge pages", State::kOk, mode, ""};
  return {
      "huge pages", State::kWarning, mode,
      "large weights are read faster with them: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)"};
}

Finding check_code() {
  auto memory = Mapping::anonymous(4096);
  const Status status = memory ? memory->make_executable() : Status(std::unexpected(memory.error()));
  if (status) return {"native code", State::kOk, "memory may be made executable", ""};
  return {"native code", State::kProblem, status.error().message,
          "a security policy (SELinux execmem, systemd MemoryDenyWriteExecute) forbids it; allow it for lathe"};
}

Finding check_compiler() {
  const auto table = compiler_library();
  if (table) return {"compiler", State::kOk, compiler_library_path(), ""};
  return {"compiler", State::kWarning, table.error().message,
          "engines run without it; to build models, install LLVM 19 (libllvm19) and keep liblathe_compiler.so beside "
          "lathe"};
}

Finding check_folder(const char* what, const char* variable, const char* below_home) {
  const char* given = std::getenv(variable);
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (given && *given == '/')
    folder = given;
  else if (home && *home == '/')
    folder = std::filesystem::path(home) / below_home;
  else
    return {what, State::kProblem, "unknown", std::string("set HOME or ") + variable};
  std::error_code error;
  std::filesystem::path there = folder;
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (access(there.c_str(), W_OK) == 0) return {what, State::kOk, folder.string(), ""};
  return {what, State::kProblem, folder.string() + " cannot be written",
          std::string("set ") + variable + " to a folder of yours"};
}

Finding check_python() {
  const auto python = python_with_lathe();
  if (python) return {"Python", State::kOk, python->program + " has the package lathe", ""};
  return {"Python", State::kWarning, python.error().message,
          "needed for `lathe compare` and for the Python API only: pip install the lathe package"};
}

Status doctor(const Output& out) {
  static constexpr const char* kWords[] = {"ok", "warning", "problem"};
  static constexpr const char* kMarks[] = {"ok  ", "note", "FAIL"};
  static constexpr const char* kColours[] = {"\033[32m", "\033[33m", "\033[31m"};
  Json checks = Json::array();
  int problems = 0;
  for (const Finding& f : {check_cpu(), check_levels(), check_cpus(), check_memory(), check_huge_pages(), check_code(),
                           check_compiler(), check_folder("cache", "XDG_CACHE_HOME", ".cache"),
                           check_folder("state", "XDG_STATE_HOME", ".local/state"), check_python()}) {
    const auto state = static_cast<size_t>(f.state);
    problems += f.state == State::kProblem ? 1 : 0;
    checks.push_back({{"check", f.what}, {"state", kWords[state]}, {"found", f.found}, {"fix", f.fix}});
    out.line("{}{}{} {:<12} {}", stdout_colour() ? kColours[state] : "", kMarks[state],
             stdout_colour() ? "\033[0m" : "", f.what, f.found);
    if (!f.fix.empty()) out.line("     {:<12} → {}", "", f.fix);
  }
  out.document(
      {{"ok", problems == 0}, {"version", LATHE_VERSION}, {"features", host_cpu().features}, {"checks", checks}});
  // The findings are the result, so the code alone tells of problems.
  if (problems) return fail(Code::kFailed, "");
  return {};
}

}  // namespace

void add_doctor(Commands& commands) {
  commands.add("doctor", "Check this machine: what lathe can use, what is wrong, the way out", "lathe doctor", doctor);
}

}  // namespace lathe::cli
