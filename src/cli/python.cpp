// SPDX-License-Identifier: Apache-2.0
#include "cli/python.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/mapped_file.h"
#include "cli/compiler_library.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> candidates() {
  if (const std::string chosen = environment("LATHE_PYTHON"); !chosen.empty()) return {chosen};
  std::vector<std::string> out;
  if (const std::string venv = environment("VIRTUAL_ENV"); !venv.empty()) out.push_back(venv + "/bin/python");
  out.push_back(executable_folder() + "/venv/bin/python");
  for (const char* name : {"python3", "python"}) {
    std::stringstream folders(environment("PATH"));
    for (std::string folder; std::getline(folders, folder, ':');) out.push_back((fs::path(folder) / name).string());
  }
  return out;
}

std::string python_path() {
  std::string path = environment("PYTHONPATH");
  std::error_code error;
  const fs::path beside = fs::path(executable_folder()) / "python";
  if (fs::exists(beside / "lathe" / "__init__.py", error)) path = beside.string() + (path.empty() ? "" : ":" + path);
  return path;
}

/// Runs `program -c "import lathe"` quietly.
bool imports_lathe(const std::string& program, const std::string& path) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    const int null = open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) dup2(null, fd);
    setenv("PYTHONPATH", path.c_str(), 1);
    execl(program.c_str(), program.c_str(), "-c", "import lathe, numpy", nullptr);
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

Result<Python> python_with_lathe() {
  const std::string path = python_path();
  for (const std::string& program : candidates())
    if (access(program.c_str(), X_OK) == 0 && imports_lathe(program, path)) return Python{program, path};
  return fail(Code::kFailed,
              "no Python here has the packages lathe and numpy; activate the environment that does, or name it in "
              "LATHE_PYTHON");
}

Status become_python(const Python& python, const std::string& module, std::vector<std::string> args) {
  setenv("PYTHONPATH", python.path.c_str(), 1);
  args.insert(args.begin(), {python.program, "-m", module});
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  execv(python.program.c_str(), argv.data());
  return fail(Code::kFailed, errno_message(python.program, "cannot start"));
}

}  // namespace lathe::cli
