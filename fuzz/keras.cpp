// SPDX-License-Identifier: Apache-2.0
// Models that Keras saved. The first byte chooses: a whole file, or the JSON of a model in an archive whose HDF5 file
// holds nothing.
#include <zip.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "import/keras/importer.h"

namespace {

using namespace lathe;

std::string zipped(const std::vector<std::pair<std::string, std::string>>& entries) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* memory = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_t* archive = zip_open_from_source(memory, ZIP_TRUNCATE, &error);
  if (!archive) std::abort();
  zip_source_keep(memory);
  for (const auto& [name, data] : entries) {
    zip_source_t* source = zip_source_buffer(archive, data.data(), data.size(), 0);
    const auto index = zip_file_add(archive, name.c_str(), source, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
  }
  if (zip_close(archive) != 0) std::abort();
  zip_stat_t stat;
  zip_source_stat(memory, &stat);
  zip_source_open(memory);
  std::string bytes(stat.size, '\0');
  zip_source_read(memory, bytes.data(), bytes.size());
  zip_source_close(memory);
  zip_source_free(memory);
  return bytes;
}

// A superblock whose root has no members.
std::string empty_hdf5() {
  std::string h = "\x89HDF\r\n\x1a\n";
  h += std::string("\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0", 16);
  h += std::string(8, '\0') + std::string(8, '\xff') + std::string(8, '\0') + std::string(8, '\xff');
  h += std::string(8, '\0') + std::string("\x60\0\0\0\0\0\0\0", 8);
  h.resize(96, '\0');
  h += '\x01';
  h.resize(112, '\0');
  return h;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto owner = std::make_shared<const std::string>(
      data[0] % 2 == 0 ? rest : zipped({{"config.json", rest}, {"model.weights.h5", empty_hdf5()}}));
  ImportOptions options;
  options.max_tensor_bytes = 1 << 22;
  (void)keras::import_keras({*owner, owner}, "fuzz", options);
  return 0;
}
