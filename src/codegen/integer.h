// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "codegen/contraction.h"
#include "codegen/line.h"

namespace lathe::codegen {

/// An operand of a contraction as its kernel reads it: memory, or a constant that is still to be packed.
struct Operand {
  std::optional<Tensor> constant;
  ValueId value = kNoId;      ///< it is this value as it is
  BufferId computed = kNone;  ///< or was computed from it

  /// As memory; constants become weights.
  [[nodiscard]] BufferId memory(Lowering& lowering) const;
};

/// How a contraction of values x and w gets its operands. Floats and wide integers are taken as they are, with steps of
/// one element. For small integers (ops/_integer.h)
///
/// - quads, where the target multiplies bytes: x as it is (or a copy of it, where padding stands for a zero point or
/// the
///   channels are no multiple of four), w less its zero point as s8. The hardware wants x unsigned or signed: the other
///   sign is value ± 128. x less its zero point is x itself and a correction of the bias, zero * (sum of w's column).
/// - pairs: both operands less their zero points as s16;
/// - plain steps, where sums have 64 bits: both operands less their zero points, widened to the sums' type.
struct Products {
  ValueId x = kNoId, w = kNoId;
  int64_t x_zero = 0, w_zero = 0;
  DType sum = DType::kF32;
  Steps steps = Steps::kPlain;
  std::optional<Tensor> weights;  ///< w, if constant: [rows, k]
  bool integers = false;          ///< small ones
  bool flip = false;              ///< x as it is has the other sign than the hardware wants
  int64_t offset = 0;             ///< the zero point of x as the hardware sees it

  /// The reduction counted in steps.
  [[nodiscard]] Dim length(const Dim& k) const { return ceil_div(k, per_step(steps)); }
  /// One element of the operands as the kernel reads them; of small integers that is a step.
  [[nodiscard]] DType element() const { return steps == Steps::kPlain ? sum : DType::kI32; }
};

/// `corrects`: the kernel's bias can be changed (it is constant, and there is one sum of w for each of its elements).
Products choose_products(const Lowering& lowering, ValueId x, ValueId w, int64_t x_zero, int64_t w_zero, bool corrects);

/// One spatial dimension of an image and how much of it is added in front and behind.
struct Padded {
  Dim extent;
  int64_t before = 0, after = 0;
};
/// x as pixels of `groups` × `k` channels, the images padded with its zero point: [images, padded…, groups, length(k)].
/// Without `copies` small integers are left as they are, too.
Result<Operand> image_operand(Lowering& lowering, const Node& node, const Products& p, const Dim& images,
                              const std::vector<Padded>& spatial, int64_t groups, const Dim& k, bool copies);
/// w whose last dimension is the reduction: [rows, length(k)].
Result<Operand> weight_operand(Lowering& lowering, const Node& node, const Products& p, const Dim& rows, const Dim& k);
/// Value `v` (x or w) as matrices [k, columns], for small integers with pairs: [images, length(k), columns].
Result<Operand> interleaved_operand(Lowering& lowering, const Node& node, const Products& p, ValueId v,
                                    const Dim& images, const Dim& k, const Dim& columns);
/// `bias` (kNoId: none); for quads less offset * sum of each of the rows of w.
BufferId corrected_bias(Lowering& lowering, const Products& p, ValueId bias, const Dim& rows);

}  // namespace lathe::codegen
