// SPDX-License-Identifier: Apache-2.0
// bench_repeat ENGINE RUNS: runs an engine so many times on one thread, inputs zero. What bench/instructions.py counts.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lathe/lathe.hpp"

namespace {

int failed(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return 1;
}

int repeat(const char* path, long runs) {
  auto engine = lathe::Engine::open(path, {.trust = true});
  if (!engine) return failed(engine.error().message);
  auto session = lathe::Session::create(*engine, {.threads = 1});
  if (!session) return failed(session.error().message);
  std::vector<std::vector<std::byte>> memory;
  for (const lathe::Port& port : engine->inputs()) {
    size_t bytes = 8;  // of an element, at most
    for (const int64_t d : port.dims) {
      if (d < 0) return failed("the engine has symbolic dimensions");
      bytes *= static_cast<size_t>(d);
    }
    memory.emplace_back(bytes);
    if (const auto s = session->bind_input(memory.size() - 1, memory.back().data(), port.dims); !s)
      return failed(s.error().message);
  }
  for (long i = 0; i < runs; ++i)
    if (const auto s = session->run(); !s) return failed(s.error().message);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return failed("usage: bench_repeat ENGINE RUNS");
  return repeat(argv[1], std::strtol(argv[2], nullptr, 10));
}
