// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/contraction.h"
#include "codegen/lowering.h"

namespace lathe::codegen {

/// 3x3 convolutions of stride 1 by Winograd's minimal filtering F(m×m, 3×3), m = 4 or 2 (Lavin and Gray, "Fast
/// Algorithms for Convolutional Neural Networks", 2015): overlapping (m+2)² tiles of the input and the weights are
/// transformed, multiplied as (m+2)² matrix products and transformed back, with 4 (m = 4) or 2.25 times fewer
/// multiplications. It rounds differently from direct convolution, so strict math never uses it.
///
/// The tile size that the cost model expects to pay, or what tuning found better; 0: none. The same for all targets,
/// since it decides what the weights are.
int winograd_tile(Lowering& lowering, const Node& node, const Contraction& c, const Tensor* weights);

/// Adds the three calls: input transform, matrix products, output transform with bias and epilogue.
Status call_winograd(Lowering& lowering, const Node& node, const Contraction& c, const Tensor& weights, BufferId a,
                     BufferId bias, int tile);

}  // namespace lathe::codegen
