// SPDX-License-Identifier: Apache-2.0
#include "cli/compiler_library.h"

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <string_view>

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kName = "liblathe_compiler.so";
/// From the executable's folder: the build tree, an installation, the Python package.
constexpr std::array<std::string_view, 4> kFolders = {".", "../lib", "../lib/lathe", ".."};

Result<const compiler::Table*> load() {
  const std::string path = compiler_library_path();
  const std::string what = path.empty() ? std::string(kName) : path;
  void* library = dlopen(what.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    return fail(Code::kFailed,
                "the compiler cannot be loaded: " + std::string(why ? why : what) +
                    "; building models needs it and LLVM 19, running engines does not (see `lathe doctor`)");
  }
  const auto table = reinterpret_cast<decltype(&lathe_compiler_table)>(dlsym(library, "lathe_compiler_table"));
  const compiler::Table* found = table ? table() : nullptr;
  if (!found || found->size != sizeof(compiler::Table) || std::string_view(found->version) != LATHE_VERSION)
    return fail(Code::kFailed,
                what + " is of another version than this program (" LATHE_VERSION "); install both together");
  return found;
}

}  // namespace

std::string executable_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path().string();
}

std::string compiler_library_path() {
  const fs::path here = executable_folder();
  std::error_code error;
  for (const std::string_view folder : kFolders)
    if (const fs::path path = here / folder / kName; fs::exists(path, error)) return path.lexically_normal().string();
  return "";
}

Result<const compiler::Table*> compiler_library() {
  static const Result<const compiler::Table*> library = load();
  return library;
}

Error as_error(const compiler::Failure& failure) { return {static_cast<Code>(failure.code), failure.message}; }

}  // namespace lathe::cli
