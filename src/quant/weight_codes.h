// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "ir/tensor.h"

namespace lathe::quant {

/// How weights are coded where activations stay floats.
struct WeightFormat {
  DType type = DType::kI8;  ///< i8, i4 (symmetric), u8, u4 (zero points), f8e4m3fn, f4e2m1
  int64_t block = 0;        ///< steps of the reduction that share a scale; 0: all of them

  /// f4e2m1 with blocks of 16 is NVFP4 (scales e4m3 and one f32), with blocks of 32 MXFP4 (scales e8m0).
  [[nodiscard]] bool nvfp4() const { return type == DType::kF4E2M1 && block == 16; }
};

/// w[n, k] = (code - zero) * scale * multiplier, as ops/coded_matmul.h stores it.
struct WeightCodes {
  Tensor code, scale, zero;  ///< zero: empty where there is none
  float multiplier = 1;
  double error = 0;  ///< root mean square, as a share of that of the weights
};

/// Sums over samples of the products of each two elements of what the weights multiply, [k, k]: how much an error of
/// one weight can be made up for by others.
struct Hessian {
  int64_t k = 0;
  std::vector<float> products;
  void add(std::span<const float> rows);  ///< [rows, k]
};

/// Weights [n, k]. Scales are those of least squared error, rounded to the type that they are stored in (f16; of f4 see
/// above). Codes: the nearest; with `hessian`, column after column, each one's error being spread over those that
/// follow (GPTQ, arXiv:2210.17323).
WeightCodes code_weights(const Tensor& weights, const WeightFormat& format, const Hessian* hessian = nullptr);

}  // namespace lathe::quant
