// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// Remainder with the sign of the divisor, or with `fmod` of the dividend. ONNX Mod-13.
struct Mod : ElementwiseOp<Mod> {
  static constexpr std::string_view kName = "Mod";
  static constexpr Signature kSignature = kBinary;
  bool fmod = false;

  void visit(AttrVisitor& v) override { v.attr("fmod", fmod); }

  [[nodiscard]] Expr of(Inputs x) const { return binary(fmod ? Prim::kFmod : Prim::kMod, x[0], x[1]); }
};

}  // namespace

const OpInfo& op_mod() { return op_info<Mod>(); }

}  // namespace lathe::ops
