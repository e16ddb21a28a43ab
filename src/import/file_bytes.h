// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ir/tensor.h"

namespace lathe::importer {

/// Bytes of a file and what keeps them.
struct FileBytes {
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};
/// Maps a whole file.
Result<FileBytes> map_file(const std::string& path);

/// The tensor over little-endian data of dtype_bytes(dtype, product of dims) bytes: in place where it is aligned for
/// the dtype (`owner` keeps it), else a copy.
Tensor tensor_over(DType dtype, std::vector<int64_t> dims, std::string_view data,
                   const std::shared_ptr<const void>& owner);

}  // namespace lathe::importer
