// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/elementwise.h"

namespace lathe::ops {

/// x converted to another type: floats to integers truncate. ONNX Cast-25; `saturate` matters for 8-bit floats alone.
struct Cast : ElementwiseOp<Cast> {
  static constexpr std::string_view kName = "Cast";
  static constexpr Signature kSignature = {1, 1, Types::kNumericOrBool};
  DType to = DType::kF32;
  bool saturate = true;

  void visit(AttrVisitor& v) override {
    v.attr("to", to);
    v.attr("saturate", saturate);
  }
  [[nodiscard]] Expr of(Inputs x) const { return cast(x[0], to); }
};

}  // namespace lathe::ops
