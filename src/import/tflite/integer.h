// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "import/tflite/fixed_point.h"
#include "import/tflite/handlers.h"

/// What the handlers of quantized integers share. Results are those of LiteRT's reference kernels to the bit: sums are
/// exact, and everything around them is a program in i32 or i64 or a table made at import.
namespace lathe::tflite {

/// An elementwise node whose function `build` writes; its inputs come in the types they have.
ValueId pointwise(Node& n, Values inputs, const std::function<Expr(std::span<const Expr>)>& build);
/// x - zero point, in i64.
Expr centred(Expr x, int64_t zero_point);
/// The same in i32 where x has 8 bits.
Expr small_centred(Expr x, int64_t zero_point);
inline Expr wide(Expr x) { return cast(x, DType::kI64); }

/// The least and the largest integer that a result with this activation has.
struct Range {
  int64_t low = 0, high = 0;
};
Range activation_range(DType type, const Quantization& q, fb::Activation a);
/// value + zero point, limited and stored.
Expr stored(Expr value, const Quantization& q, Range range, DType type);

/// How the reference kernels round a sum times a multiplier.
enum class Rounding : uint8_t {
  kTwice,  ///< after 31 bits and after the rest: most operators
  kOnce,   ///< FULLY_CONNECTED
  kShort   ///< once, with a multiplier of 15 bits: 64-bit sums of other operators
};
/// Requantization of exact sums: times a multiplier (one for all, or one for each element of the last dimension), plus
/// the output's zero point, limited to the activation's range.
ValueId requantized(Node& n, ValueId sums, const std::vector<fixed::Multiplier>& multipliers, Rounding rounding,
                    const Quantization& out, fb::Activation a);

/// y[i] = table[x[i] - lowest x]: for 8 and 16-bit integers.
ValueId looked_up(Node& n, ValueId x, DType to, const std::function<int64_t(int64_t)>& f);

/// The quantization of all inputs and outputs of an operator, which must be one pair each; else an error.
struct Quantizations {
  const Quantization* x = nullptr;
  const Quantization* y = nullptr;
  const Quantization* out = nullptr;
};
Result<Quantizations> quantizations(const Node& n, size_t inputs);
/// True if x is float and the weights (input `weights`) are integers: dynamic range quantization.
bool hybrid(const Node& n, size_t x, size_t weights);

// int_linear.cpp
Result<Values> int_conv(Node& n);
Result<Values> int_depthwise_conv(Node& n);
Result<Values> int_transpose_conv(Node& n);
Result<Values> int_fully_connected(Node& n);
Result<Values> int_batch_matmul(Node& n);
// int_reduce.cpp
Result<Values> int_average_pool(Node& n);
Result<Values> int_max_pool(Node& n);
Result<Values> int_mean(Node& n);
Result<Values> int_softmax(Node& n);
Result<Values> int_log_softmax(Node& n);
Result<Values> int_l2_normalization(Node& n);
Result<Values> int_resize_bilinear(Node& n);
// int_elementwise.cpp
Result<Values> int_add(Node& n);
Result<Values> int_mul(Node& n);
Result<Values> int_squared_difference(Node& n);
Result<Values> int_compare(Node& n);
Result<Values> int_relu(Node& n);
Result<Values> int_leaky_relu(Node& n);
Result<Values> int_prelu(Node& n);
Result<Values> int_table(Node& n);
Result<Values> int_abs(Node& n);
Result<Values> int_concatenation(Node& n);
// hybrid.cpp
Result<Values> hybrid_fully_connected(Node& n);
Result<Values> hybrid_conv(Node& n, bool depthwise);
Result<Values> hybrid_transpose_conv(Node& n);
Result<Values> hybrid_batch_matmul(Node& n);

}  // namespace lathe::tflite
