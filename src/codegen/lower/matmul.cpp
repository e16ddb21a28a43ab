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

/// Matrices [..., k, n] of bytes as [..., n, k].
Tensor columns_first(const Tensor& w) {
  std::vector<int64_t> dims = w.dims();
  const int64_t k = dims[dims.size() - 2], n = dims.back();
  std::swap(dims[dims.size() - 2], dims.back());
  Tensor t = Tensor::zeros(w.dtype(), dims);
  const auto from = w.bytes();
  const auto to = t.mutable_bytes();
  for (int64_t at = 0; at < w.count(); at += std::max<int64_t>(1, k * n))
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < n; ++j)
        to[static_cast<size_t>(at + j * k + i)] = from[static_cast<size_t>(at + i * n + j)];
  return t;
}

/// The last two dimensions, in steps, of an operand.
Shape in_steps(const Shape& s, const Dim& rows, const Dim& columns) {
  Shape r(s.begin(), s.end() - 2);
  r.insert(r.end(), {rows, columns});
  return r;
}

Status lower_matmul(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::MatMul>();
  const Shape &whole_a = lowering.shape(node.inputs[0]), &whole_b = lowering.shape(node.inputs[1]),
              &out = lowering.shape(node.outputs[0]);
  const Dim m = out[out.size() - 2], n = out.back(), k_a = whole_a[whole_a.size() - (op.trans_a ? 2 : 1)],
            k_b = whole_b[whole_b.size() - (op.trans_b ? 1 : 2)], whole_k = k_b.is_const() ? k_b : k_a;
  const Dim a_images = product(Shape(whole_a.begin(), whole_a.end() - 2)),
            b_images = product(Shape(whole_b.begin(), whole_b.end() - 2));
  Products products = choose_products(lowering, node.inputs[0], node.inputs[1], op.a_zero, op.b_zero,
                                      b_images.equals(1) && !op.trans_a);
  if (products.steps == Steps::kQuads && op.trans_a) products.steps = Steps::kPairs;
  Contraction c;
  c.dtype = products.sum;
  c.steps = products.steps;
  if (dtype_bits(c.dtype) < 32 || c.dtype == DType::kString || dtype_bits(c.dtype) > 64)
    return fail(Code::kUnsupported,
                "matrix products of " + std::string(dtype_name(c.dtype)) + " are not generated yet");
  // From here on the reduction counts steps. A constant b of small integers lies with its columns first.
  const Dim size = dtype_bits(products.element()) / 8, k = products.length(whole_k);
  const bool by_steps = products.steps != Steps::kPlain;
  bool trans_b = op.trans_b;
  if (by_steps && products.weights && !trans_b) {
    products.weights = columns_first(*products.weights);
    trans_b = true;
  }
  const Shape a = op.trans_a ? in_steps(whole_a, k, m) : in_steps(whole_a, m, k),
              b = trans_b ? in_steps(whole_b, n, k) : in_steps(whole_b, k, n);
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
  source.dtype = products.element();
  source.k = k;
  source.columns = n;
  source.k_stride = trans_b ? Dim(1) : n;
  source.column_stride = trans_b ? k : Dim(1);
  const bool copies =
      products.steps == Steps::kPairs || (by_steps && !(whole_k.is_const() && whole_k.value() % 4 == 0));
  c.flip = products.steps == Steps::kQuads && products.flip && !copies;
  LATHE_TRY(const Operand right,
            trans_b ? weight_operand(lowering, node, products, b_images * n, whole_k)
                    : interleaved_operand(lowering, node, products, node.inputs[1], b_images, whole_k, n));
  LATHE_TRY(const Operand left,
            op.trans_a ? interleaved_operand(lowering, node, products, node.inputs[0], a_images, whole_k, m)
                       : image_operand(lowering, node, products, a_images * m, {}, 1, whole_k, copies));
  const bool constant = right.constant.has_value();
  source.dtype = c.stored = stored_type(right, products.element());
  c.packed =
      constant || trans_b || (lowering.typical(c.x.out) >= kPackRows && lowering.typical(k * n * size) >= kPackBytes);
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
  const Schedule s = pick_schedule(lowering, node, c, panel, "tile");
  return call_contraction(lowering, node, c, s, left.memory(lowering), w, corrected_bias(lowering, products, kNoId, n),
                          "matmul");
}

}  // namespace lathe::codegen
