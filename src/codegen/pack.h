// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "codegen/integer.h"

namespace lathe::codegen {

/// Weights as they lie in the model: where element (image, group, tap, k, column) is, in elements. Packed they are
/// [image][group][panel][tap][k][panel width], the last panel filled up with zeros.
struct PackSource {
  DType dtype = DType::kF32;
  struct Level {
    Dim extent, stride;
  };
  std::vector<Level> images;  ///< outermost first
  int64_t groups = 1;
  Dim group_stride = 0;
  std::vector<Level> taps;  ///< outermost first
  Dim first = 0;            ///< offset of tap 0
  Dim k, k_stride;
  Dim columns, column_stride;  ///< per group

  [[nodiscard]] Dim packed_bytes(int panel) const;
};

/// The type that weights are stored in: `element`, but constants of f32 as f16 or bf16 if that holds each of them
/// exactly.
DType stored_type(const Operand& weights, DType element);
/// Packs a constant at build time; `source.dtype` may be what stored_type said.
std::shared_ptr<const std::vector<std::byte>> pack(const PackSource& source, const Tensor& weights, int panel);
/// Adds a kernel that packs buffer `from` when the engine runs; returns the packed buffer.
Result<BufferId> call_pack(Lowering& lowering, const Node& node, const PackSource& source, BufferId from, int panel);
/// Whichever of both it takes.
Result<BufferId> packed_weights(Lowering& lowering, const Node& node, const PackSource& source, const Operand& weights,
                                int panel);

}  // namespace lathe::codegen
