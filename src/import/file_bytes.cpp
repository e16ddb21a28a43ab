// SPDX-License-Identifier: Apache-2.0
#include "import/file_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/mapped_file.h"

namespace lathe::importer {

Result<FileBytes> map_file(const std::string& path) {
  LATHE_TRY(const File file, File::open(path));
  LATHE_TRY(Mapping mapping, file.map(0, static_cast<size_t>(file.size())));
  auto owner = std::make_shared<const Mapping>(std::move(mapping));
  return FileBytes{{reinterpret_cast<const char*>(owner->data()), owner->size()}, owner};
}

Tensor tensor_over(DType dtype, std::vector<int64_t> dims, std::string_view data,
                   const std::shared_ptr<const void>& owner) {
  static_assert(std::endian::native == std::endian::little);
  const auto align = static_cast<uintptr_t>(std::clamp(dtype_bits(dtype) / 8, 1, 8));
  if (!data.empty() && reinterpret_cast<uintptr_t>(data.data()) % align == 0)
    return Tensor::view(dtype, std::move(dims), reinterpret_cast<const std::byte*>(data.data()), owner);
  Tensor t = Tensor::zeros(dtype, std::move(dims));
  if (!data.empty()) std::memcpy(t.mutable_bytes().data(), data.data(), data.size());
  return t;
}

}  // namespace lathe::importer
