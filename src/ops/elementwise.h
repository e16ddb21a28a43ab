// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <limits>

#include "ir/op.h"

namespace lathe::ops {

/// The numpy broadcast of two shapes. Symbols: 1 against anything gives the other; equal expressions give themselves; a
/// constant above 1 against a symbol gives the constant (the symbol can only be that or 1); two different symbols give
/// their maximum (either they are equal, or one is 1). Two different constants are an error.
Result<Shape> broadcast(const Shape& a, const Shape& b);
Result<Shape> broadcast(std::span<const ValueInfo> inputs);

/// Sets of element types that an operator takes.
enum class Types : uint8_t {
  kAny,
  kNumeric,
  kFloat,
  kInteger,
  kBool,
  kSigned /* floats and signed integers */,
  kUnsigned,
  kNumericOrBool
};
[[nodiscard]] bool contains(Types set, DType t);

/// What an elementwise operator accepts; unless it overrides check(), all inputs have one dtype.
struct Signature {
  int min_inputs = 1;
  int max_inputs = 1;
  Types types = Types::kFloat;
};
inline constexpr Signature kUnaryFloat{1, 1, Types::kFloat};
inline constexpr Signature kBinary{2, 2, Types::kNumeric};
inline constexpr Signature kVariadic{1, std::numeric_limits<int>::max(), Types::kNumeric};

/// Operators whose output elements depend on the corresponding input elements alone. A subclass says which types it
/// takes and builds its Program; the rest is derived: shapes by broadcasting, the dtype and the reference from the
/// program, symbolic contents by interpreting the program over Dims.
class Elementwise : public Op {
 public:
  [[nodiscard]] Result<std::vector<ValueInfo>> infer(std::span<const ValueInfo> inputs,
                                                     const FreshSymbol& fresh) const override;
  [[nodiscard]] Result<std::vector<Tensor>> evaluate(std::span<const Tensor> inputs) const override;
  [[nodiscard]] double flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const override;
  [[nodiscard]] std::optional<Program> program(std::span<const DType> inputs) const override;

 protected:
  [[nodiscard]] virtual Signature signature() const = 0;
  /// Whether inputs of these types are taken.
  [[nodiscard]] virtual Status check(std::span<const DType> inputs) const;
  /// The result, from checked inputs. Absent optional inputs have builder == nullptr.
  [[nodiscard]] virtual Expr build(ProgramBuilder& b, std::span<const Expr> x) const = 0;
};

/// Implements signature() and build() from `static constexpr Signature kSignature` and `Expr of(std::span<const Expr>)
/// const` of T.
template <class T>
class ElementwiseOp : public Elementwise {
 public:
  [[nodiscard]] std::string_view name() const override { return T::kName; }
  [[nodiscard]] std::unique_ptr<Op> clone() const override { return std::make_unique<T>(self()); }

 protected:
  [[nodiscard]] Signature signature() const override { return T::kSignature; }
  [[nodiscard]] Expr build(ProgramBuilder&, std::span<const Expr> x) const override { return self().of(x); }

 private:
  [[nodiscard]] const T& self() const { return static_cast<const T&>(*this); }
};

/// Inputs of an elementwise operator while its program is built.
using Inputs = std::span<const Expr>;

/// Elements of the result of `p` over small integer tensors whose elements are known as expressions; empty where one
/// cannot be told. Sizes are taken to be non-negative (division truncates towards zero).
std::optional<std::vector<Dim>> propagate_content(const Program& p, std::span<const ValueInfo> inputs);

}  // namespace lathe::ops
