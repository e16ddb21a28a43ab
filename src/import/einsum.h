// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "import/builder.h"

namespace lathe::importer {

/// Einstein summation as ONNX, numpy and TensorFlow write it ("...ij,jk->...ik"; without "->", the labels that occur
/// once, sorted): a chain of transposed, batched matrix products. Labels repeated in one operand are not supported.
Result<ValueId> einsum(Builder& b, std::string equation, const std::vector<ValueId>& operands);

}  // namespace lathe::importer
