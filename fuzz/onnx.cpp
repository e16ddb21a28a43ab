// SPDX-License-Identifier: Apache-2.0
// The ONNX importer on arbitrary bytes: whatever is imported must also be a graph that the verifier accepts.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "import/import.h"
#include "ir/graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lathe;
  const int file = memfd_create("model", 0);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  ImportOptions options;
  options.max_tensor_bytes = size_t{1} << 26;
  if (const auto graph = import_model("/proc/self/fd/" + std::to_string(file), options))
    if (const auto ok = verify(**graph); !ok) {
      std::fprintf(stderr, "%s\n", ok.error().message.c_str());
      std::abort();
    }
  close(file);
  return 0;
}
