// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "ir/tensor.h"

namespace lathe {

/// The primitives of elementwise computation: few, so that the reference interpreter and every code generator are
/// small. Named operators (Gelu, HardSwish …) are composed of them, and fusion is the composition of programs.
/// Arithmetic is in the step's dtype: IEEE for floats (f16/bf16 compute in f32 and round on store), two's complement
/// wrap-around for integers. Comparisons yield bool. min/max propagate NaN (ONNX Min/Max, Relu, Clip).
enum class Prim : uint8_t {
  kInput,
  kConstant,
  kAdd,
  kSub,
  kMul,
  kDiv,  // integer division truncates; by zero gives 0
  kMod,
  kFmod,  // kMod: sign of the divisor (Python); kFmod: sign of the dividend (C)
  kPow,
  kMin,
  kMax,
  kNeg,
  kAbs,
  kSign,
  kFloor,
  kCeil,
  kRound /* half to even */,
  kTrunc,
  kSqrt,
  kExp,
  kLog,
  kErf,
  kTanh,
  kSigmoid /* 1 / (1 + exp(-a)) */,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kAsinh,
  kAcosh,
  kAtanh,
  kReciprocal,
  kEq,
  kLt,
  kLe,
  kAnd,
  kOr,
  kXor,
  kNot,  // bitwise on integers, logical on bool
  kShl,
  kShr,
  kIsNaN,
  kIsInf,
  kSelect,  // a ? b : c
  kCast,    // float → integer truncates; saturating where C leaves it undefined
  kBitcast  // the same bits as another type of that size; a packed value is held in a byte, extended by its sign
};
struct PrimInfo {
  std::string_view name;
  int arity;
};
const PrimInfo& prim_info(Prim p);

/// One step; operands a, b, c are indices of earlier steps.
struct Step {
  Prim prim = Prim::kInput;
  DType dtype = DType::kF32;  ///< of the result
  int a = -1, b = -1, c = -1;
  double value = 0;     ///< kConstant of a float dtype
  int64_t integer = 0;  ///< kConstant of an integer or bool dtype; kInput: which input
  friend bool operator==(const Step&, const Step&) = default;
};

/// A straight-line elementwise function of `inputs` scalars. Its inputs broadcast (numpy rules) against each other.
struct Program {
  int inputs = 0;
  std::vector<Step> steps;
  std::vector<int> results;  ///< steps whose values are the outputs; one for every operator of this IR
  [[nodiscard]] bool empty() const { return steps.empty(); }
  friend bool operator==(const Program&, const Program&) = default;
  /// "f32 %2 = mul %0 %1; …" — stable, parsed back by parse_program.
  [[nodiscard]] std::string str() const;
};
Result<Program> parse_program(std::string_view text);

/// Evaluates result 0 of `p` over broadcast inputs into a tensor of `dims`: the reference. Inputs must broadcast to
/// dims.
Result<Tensor> evaluate_program(const Program& p, std::span<const Tensor> inputs, const std::vector<int64_t>& dims);

/// Replaces input `input` of `outer` by result 0 of `inner`. Inputs of the result: outer's others in order (with
/// `input` removed), then inner's. Common steps are merged.
Program compose(const Program& outer, int input, const Program& inner);
/// Renumbers inputs by `map` (old → new; several old ones may become the same) for a program of `inputs` inputs.
Program remap_inputs(const Program& p, std::span<const int> map, int inputs);

class ProgramBuilder;
/// A value while a program is built; arithmetic operators append steps. Operands must have the same dtype; a double
/// on either side becomes a constant of the other's dtype.
struct Expr {
  ProgramBuilder* builder = nullptr;
  int step = -1;
  [[nodiscard]] DType dtype() const;
};

class ProgramBuilder {
 public:
  Expr input(DType dtype);
  Expr constant(DType dtype, double value);
  Expr step(Prim prim, DType dtype, Expr a, Expr b = {}, Expr c = {});
  [[nodiscard]] DType dtype(int step_index) const { return program_.steps[static_cast<size_t>(step_index)].dtype; }
  Program finish(Expr result);

 private:
  int append(const Step& s);  // value-numbered: equal steps are one
  Program program_;
};

Expr operator+(Expr a, Expr b);
Expr operator-(Expr a, Expr b);
Expr operator*(Expr a, Expr b);
Expr operator/(Expr a, Expr b);
Expr operator-(Expr a);
Expr operator+(Expr a, double b);
Expr operator-(Expr a, double b);
Expr operator*(Expr a, double b);
Expr operator/(Expr a, double b);
Expr operator+(double a, Expr b);
Expr operator-(double a, Expr b);
Expr operator*(double a, Expr b);
Expr operator/(double a, Expr b);
Expr unary(Prim p, Expr a);
Expr binary(Prim p, Expr a, Expr b);   ///< result dtype = operand's
Expr compare(Prim p, Expr a, Expr b);  ///< result bool
Expr select(Expr condition, Expr then, Expr otherwise);
/// To another type. Floats of 8 and 4 bits round to nearest even and overflow to NaN, infinity or (f4) the largest;
/// what does not fit a packed integer loses its upper bits. These casts become arithmetic on bits (narrow.cpp).
Expr cast(Expr a, DType to);
Expr bitcast(Expr a, DType to);
/// A float to f8e8m0, a power of two: `mode` is up | down | nearest (ties up). Out of range: the nearest one if
/// `saturate`, else NaN.
Expr cast_to_exponent(Expr a, std::string_view mode, bool saturate);
/// Largest finite value of a float of 8 or 4 bits.
double largest_finite(DType t);
inline Expr min(Expr a, Expr b) { return binary(Prim::kMin, a, b); }
inline Expr max(Expr a, Expr b) { return binary(Prim::kMax, a, b); }
Expr min(Expr a, double b);
Expr max(Expr a, double b);
inline Expr exp(Expr a) { return unary(Prim::kExp, a); }
inline Expr log(Expr a) { return unary(Prim::kLog, a); }
inline Expr sqrt(Expr a) { return unary(Prim::kSqrt, a); }
inline Expr tanh(Expr a) { return unary(Prim::kTanh, a); }
inline Expr sigmoid(Expr a) { return unary(Prim::kSigmoid, a); }
inline Expr erf(Expr a) { return unary(Prim::kErf, a); }
inline Expr abs(Expr a) { return unary(Prim::kAbs, a); }

}  // namespace lathe
