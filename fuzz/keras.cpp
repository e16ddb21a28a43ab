// SPDX-License-Identifier: Apache-2.0
// Models that Keras saved. The first byte chooses: a whole file, or the JSON of a model in an archive whose HDF5 file
// holds nothing.
#include <memory>
#include <string>
#include <vector>

#include "../tests/zip_file.h"
#include "import/keras/importer.h"

namespace {

using namespace lathe;
using lathe::testing::zipped;

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
