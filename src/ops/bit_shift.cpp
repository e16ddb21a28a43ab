// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// a shifted by b bits; by the width or more gives 0. ONNX BitShift-11.
struct BitShift : ElementwiseOp<BitShift> {
  static constexpr std::string_view kName = "BitShift";
  static constexpr Signature kSignature = {2, 2, Types::kInteger};
  std::string direction = "LEFT";  ///< "LEFT" | "RIGHT"

  void visit(AttrVisitor& v) override { v.attr("direction", direction); }

  [[nodiscard]] Expr of(Inputs x) const { return binary(direction == "LEFT" ? Prim::kShl : Prim::kShr, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_bit_shift() { return op_info<BitShift>(); }

}  // namespace lathe::ops
