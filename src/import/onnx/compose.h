// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "import/onnx/node.h"

/// Pieces that handlers of several families are composed of.
namespace lathe::onnx {

/// (x - zero) * scale, and its inverse to `to`. Scale and zero point (kNoId: none) are single values, one value a slice
/// along `axis`, or (block > 0) one a block along it. quant.cpp
Result<ValueId> dequantized(Node& n, ValueId x, ValueId scale, ValueId zero, int64_t axis, int64_t block = 0);
Result<ValueId> quantized(Node& n, ValueId x, ValueId scale, ValueId zero, DType to, int64_t axis, int64_t block = 0);

/// Rotary embedding of the rows of x [a, b, c, D], D constant. attention.cpp
ValueId rotated_pairs(Node& n, ValueId x, ValueId cosine, ValueId sine, int64_t rotated, bool interleaved);

/// Tensors of one shape along a new axis. sequences.cpp
ValueId stacked(importer::Builder& b, const Values& elements, int64_t axis);

/// Permutations from [N, C, spatial…] to [N, spatial…, C] and back. conv.cpp
std::vector<int64_t> last_perm(int64_t rank);
std::vector<int64_t> first_perm(int64_t rank);
/// ConvTranspose with pads that are given otherwise than by the attribute. conv.cpp
Result<Values> conv_transpose_padded(Node& n, const std::optional<std::vector<int64_t>>& pads);

}  // namespace lathe::onnx
