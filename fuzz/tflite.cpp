// SPDX-License-Identifier: Apache-2.0
// The importer of TFLite files on arbitrary bytes, in a file that lives in memory. Tensors are limited, so that the
// fuzzer spends its time on the reader.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "import/import.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Only what the format's detection lets through.
  if (size < 8 || std::memcmp(data + 4, "TFL3", 4) != 0) return 0;
  const int file = memfd_create("model", MFD_CLOEXEC);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  lathe::ImportOptions options;
  options.max_tensor_bytes = 1 << 20;
  const auto graph = lathe::import_model("/proc/self/fd/" + std::to_string(file), options);
  if (!graph && graph.error().code == lathe::Code::kFailed) std::abort();
  close(file);
  return 0;
}
