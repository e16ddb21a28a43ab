// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace lathe::ops {

namespace {

/// base ^ exponent, of the base's type; the exponent may have another. ONNX Pow-15.
struct Pow : ElementwiseOp<Pow> {
  static constexpr std::string_view kName = "Pow";
  static constexpr Signature kSignature = kBinary;

  [[nodiscard]] Status check(std::span<const DType> inputs) const override {
    LATHE_CHECK(Elementwise::check(inputs.first(1)));
    return Elementwise::check(inputs.subspan(1));
  }

  [[nodiscard]] Expr of(Inputs x) const {
    const Expr base = x[0], exponent = x[1];
    if (base.dtype() == exponent.dtype()) return binary(Prim::kPow, base, exponent);
    if (dtype_info(base.dtype()).is_float) return binary(Prim::kPow, base, cast(exponent, base.dtype()));
    const DType wide = dtype_info(exponent.dtype()).is_float ? DType::kF64 : DType::kI64;
    return cast(binary(Prim::kPow, cast(base, wide), cast(exponent, wide)), base.dtype());
  }
};

}  // namespace

const OpInfo& op_pow() { return op_info<Pow>(); }

}  // namespace lathe::ops
