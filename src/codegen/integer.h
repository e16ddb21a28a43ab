// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "codegen/lowering.h"

namespace lathe::codegen {

/// An operand of a contraction as its kernel reads it: memory, or a constant that is still to be packed.
struct Operand {
  std::optional<Tensor> constant;
  ValueId value = kNoId;     ///< it is this value as it is
  BufferId widened = kNone;  ///< or was computed from it

  /// As memory; constants become weights.
  [[nodiscard]] BufferId memory(Lowering& lowering) const;
};

/// Operand `v` of a contraction whose sums have type `sum`. Small integers (see ops/_integer.h) less their zero point
/// are widened to it: at build time, or by a kernel of their own. Everything else is taken as it is.
Result<Operand> contraction_operand(Lowering& lowering, const Node& node, ValueId v, int64_t zero, DType sum);

}  // namespace lathe::codegen
