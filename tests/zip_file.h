// SPDX-License-Identifier: Apache-2.0
// Zip files in memory, for tests and fuzzers.
#pragma once

#include <zip.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace lathe::testing {

/// Names, which may lead out of the archive, and contents.
using ZipEntries = std::vector<std::pair<std::string, std::string>>;

/// The bytes of an archive of `entries`; ends the program if libzip cannot make it.
inline std::string zipped(const ZipEntries& entries, bool compress = false) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* memory = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_t* archive = zip_open_from_source(memory, ZIP_TRUNCATE, &error);
  if (!archive) std::abort();
  zip_source_keep(memory);
  for (const auto& [name, data] : entries) {
    zip_source_t* source = zip_source_buffer(archive, data.data(), data.size(), 0);
    const auto index = zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) std::abort();
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), compress ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
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

}  // namespace lathe::testing
