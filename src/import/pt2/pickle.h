// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "import/file_bytes.h"
#include "ir/tensor.h"

namespace lathe::pt2 {

/// Tensors by name from a file that `torch.save` wrote: a zip archive with a pickle and a file for each storage.
/// The pickle is interpreted, never executed: dictionaries, numbers, strings and tensors are understood, any other
/// object becomes a value without meaning, and only what the dictionary at the top holds under strings is returned.
/// A single tensor is returned under the empty name. Contiguous tensors lie where the file has them, if aligned.
Result<std::map<std::string, Tensor>> read_tensors(importer::FileBytes file, size_t max_bytes);

/// The tensor of `sizes` that starts `offset` elements into `storage` and steps by `strides`; kDamaged where it leaves
/// the storage.
Result<Tensor> strided_tensor(DType dtype, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                              int64_t offset, const importer::FileBytes& storage, size_t max_bytes);

}  // namespace lathe::pt2
