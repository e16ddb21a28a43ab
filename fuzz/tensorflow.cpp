// SPDX-License-Identifier: Apache-2.0
// The importer of SavedModels and frozen graphs on arbitrary bytes, and the reader of checkpoints' indices. Tensors are
// limited, so that the fuzzer spends its time on the readers.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "import/import.h"
#include "import/tensorflow/checkpoint.h"
#include "import/tensorflow/importer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)lathe::tensorflow::read_table(bytes);

  const int file = memfd_create("model", MFD_CLOEXEC);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  lathe::ImportOptions options;
  options.max_tensor_bytes = 1 << 20;
  // Both are protobuf without a magic number: each reader sees all inputs.
  for (const auto import : {lathe::tensorflow::import_saved_model, lathe::tensorflow::import_graph_def}) {
    const auto graph = import(path, options);
    if (!graph && graph.error().code == lathe::Code::kFailed) std::abort();
  }
  close(file);
  return 0;
}
