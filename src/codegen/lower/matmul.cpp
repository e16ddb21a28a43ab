// SPDX-License-Identifier: Apache-2.0
// Matrix products as contractions without a window. A constant b is packed at build time, another one when the engine
// runs if that pays (or if its columns are not contiguous).
#include "ops/matmul.h"

#include <algorithm>

#include "codegen/contraction.h"
#include "codegen/integer.h"
#include "codegen/lower/lower.h"
#include "codegen/pack.h"
#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

constexpr int64_t kPackRows = 48, kPackBytes = 256 << 10;  // packing is repaid from so many rows and bytes of b on

/// Element strides of the leading dimensions of an operand, aligned with those of the output; 0 where it repeats.
std::vector<Dim> batch_strides(const Shape& in, const Shape& out) {
  std::vector<Dim> strides(out.size() - 2, 0);
  Dim step = in[in.size() - 1] * in[in.size() - 2];
  for (size_t i = 2; i < in.size(); ++i) {
    const Dim& extent = in[in.size() - 1 - i];
    if (!extent.equals(1)) strides[out.size() - 1 - i] = step;
    step = step * extent;
  }
  return strides;
}

}  // namespace

Status lower_matmul(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::MatMul>();
  const Shape &a = lowering.shape(node.inputs[0]), &b = lowering.shape(node.inputs[1]),
              &out = lowering.shape(node.outputs[0]);
  Contraction c;
  c.dtype = ops::sum_type(lowering.dtype(node.inputs[0]), lowering.dtype(node.inputs[1]));
  if (dtype_bits(c.dtype) < 32 || c.dtype == DType::kString || dtype_bits(c.dtype) > 64)
    return fail(Code::kUnsupported,
                "matrix products of " + std::string(dtype_name(c.dtype)) + " are not generated yet");
  const Dim size = dtype_bits(c.dtype) / 8;
  const Dim m = out[out.size() - 2], n = out.back(), k = a[a.size() - (op.trans_a ? 2 : 1)];
  c.k = k;
  c.columns = n;
  c.a_k = op.trans_a ? m * size : size;
  c.a_x = op.trans_a ? size : k * size;

  const Dim batch = product(Shape(out.begin(), out.end() - 2));
  const bool one_b = product(Shape(b.begin(), b.end() - 2)).equals(1);
  const auto sa = batch_strides(a, out), sb = batch_strides(b, out);
  const Dim a_batch = product(Shape(a.begin(), a.end() - 2));
  const bool flat = one_b && a_batch == batch && (!op.trans_a || batch.equals(1));
  c.x.in = c.x.out = flat ? batch * m : m;
  c.out_image = c.x.out;
  if (!flat)
    for (size_t d = 0; d < sa.size(); ++d)
      if (!out[d].equals(1)) c.images.push_back({out[d], sa[d] * size, sb[d] * size});

  PackSource source;
  source.dtype = c.dtype;
  source.k = k;
  source.columns = n;
  source.k_stride = op.trans_b ? Dim(1) : n;
  source.column_stride = op.trans_b ? k : Dim(1);
  LATHE_TRY(const Operand right, contraction_operand(lowering, node, node.inputs[1], op.b_zero, c.dtype));
  LATHE_TRY(const Operand left, contraction_operand(lowering, node, node.inputs[0], op.a_zero, c.dtype));
  const bool constant = right.constant.has_value();
  c.packed = constant || op.trans_b ||
             (lowering.typical(c.x.out) >= kPackRows && lowering.typical(k * n * size) >= kPackBytes);
  BufferId w = kNone;
  const int panel = c.packed ? shared_panel(lowering, c) : 0;
  if (c.packed) {
    const Dim image = source.packed_bytes(panel);
    // b's own batch, image by image: its strides become those of packed images.
    Dim index = 1;
    for (size_t i = b.size() - 2; i-- > 0;) {
      const Dim& extent = b[i];
      if (extent.equals(1)) continue;
      source.images.insert(source.images.begin(), {extent, index * k * n});
      index = index * extent;
    }
    for (auto& level : c.images) {
      // Strides are multiples of a matrix: (k n size) * j becomes image * j.
      Dim j = 0;
      Dim step = 1;
      for (size_t i = b.size() - 2; i-- > 0;) {
        if (level.w == step * k * n * size && !level.w.equals(0) && !b[i].equals(1)) j = step;
        step = step * b[i];
      }
      level.w = j * image;
    }
    LATHE_TRY(w, packed_weights(lowering, node, source, right, panel));
  } else {
    c.w_k = n * size;
    w = right.memory(lowering);
  }
  const Schedule s = candidates(lowering, c, lowering.target, panel).front();
  return call_contraction(lowering, node, c, s, left.memory(lowering), w, kNone, "matmul");
}

}  // namespace lathe::codegen
