// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// x converted to another type: floats to integers truncate. ONNX Cast-25; `saturate` (out of range becomes the largest
/// value) matters for 8-bit floats alone, `round_mode` (up | down | nearest) for f8e8m0.
struct Cast : ElementwiseOp<Cast> {
  static constexpr std::string_view kName = "Cast";
  static constexpr Signature kSignature = {1, 1, Types::kNumericOrBool};
  DType to = DType::kF32;
  bool saturate = true;
  std::string round_mode = "up";

  void visit(AttrVisitor& v) override {
    v.attr("to", to);
    v.attr("saturate", saturate);
    v.attr("round_mode", round_mode);
  }
  [[nodiscard]] Expr of(Inputs x) const;
};

}  // namespace lathe::ops
