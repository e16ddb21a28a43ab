// SPDX-License-Identifier: Apache-2.0
// Transposed convolution by output phases: the output positions with the same remainder modulo the stride are an
// ordinary convolution of stride 1 with the taps that reach them, in reverse. With kernel = stride each phase is a
// matrix product.
//
//   stride 2, kernel 3:  y[0] x·w1      phase 0: taps {1}     y[2i]   = x[i] w1
//                        y[1] x·w2,w0   phase 1: taps {2, 0}  y[2i+1] = x[i] w2 + x[i+1] w0     (pad 1)
#include "ops/conv_transpose.h"

#include <numeric>

#include "codegen/contraction.h"
#include "codegen/integer.h"
#include "codegen/lower/lower.h"
#include "codegen/pack.h"
#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

struct Phase {
  Axis axis;
  int64_t first = 0, step = 0;  ///< tap t of the phase is tap first + t * step of the operator
};

/// Positions remainder, remainder + stride, … of one output dimension. kernel = 0: no tap reaches them.
Phase phase_of(const ops::ConvTranspose& op, size_t d, int64_t kernel, const Dim& in, const Dim& out,
               int64_t remainder) {
  const int64_t stride = op.strides[d], dilation = op.dilations[d], common = std::gcd(stride, dilation);
  const auto aligned = [&](int64_t tap) { return (remainder + op.pads[d] - tap * dilation) % stride == 0; };
  int64_t tap = 0;
  while (tap < kernel && !aligned(tap)) ++tap;
  Phase p;
  p.axis.in = in;
  p.axis.out = ceil_div(out - Dim(remainder), stride);
  p.axis.kernel = 0;
  if (tap < kernel) {
    const int64_t step = stride / common, count = (kernel - 1 - tap) / step + 1;
    p.axis.kernel = count;
    p.axis.dilation = dilation / common;
    p.axis.pad = (count - 1) * p.axis.dilation - (remainder + op.pads[d] - tap * dilation) / stride;
    p.first = tap + (count - 1) * step;
    p.step = -step;
  }
  const size_t spatial = op.strides.size();
  p.axis.settle(p.axis.kernel == 0 || (kernel == stride && dilation == 1 && op.pads[d] == 0 &&
                                       op.pads[spatial + d] == 0 && op.output_padding[d] == 0));
  return p;
}

}  // namespace

Status lower_conv_transpose(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::ConvTranspose>();
  const ValueId bias = node.anchor_inputs > 2 ? node.inputs[2] : kNoId;
  const Shape &in = lowering.shape(node.inputs[0]), &w = lowering.shape(node.inputs[1]),
              &out = lowering.shape(node.outputs[0]);
  // Phases see other parts of the padding each: no copies with room, hence no zero point but 0 for quads.
  const Products products = choose_products(lowering, node.inputs[0], node.inputs[1], op.x_zero, op.w_zero, false);
  const DType dtype = products.sum;
  if (dtype_bits(dtype) != 32 && dtype_bits(dtype) != 64)
    return fail(Code::kUnsupported,
                "transposed convolution of " + std::string(dtype_name(dtype)) + " is not generated yet");
  if (!w.back().is_const() || !w[0].is_const())
    return fail(Code::kUnsupported, "the channels of weight " + shape_str(w) + " are not constant");
  const size_t spatial = op.strides.size();
  const Dim size = dtype_bits(products.element()) / 8, k = products.length(w.back());
  int64_t phases = 1;
  for (const int64_t s : op.strides) phases *= s;
  if (phases > 256)
    return fail(Code::kUnsupported, "strides with " + std::to_string(phases) + " output phases are not generated yet");

  Dim pixels = in[0], taps = w[0];
  for (size_t d = 0; d < spatial; ++d) {
    pixels = pixels * in[d + 1];
    taps = taps * w[d + 1];
  }
  const bool copies = products.steps == Steps::kPairs || w.back().value() % per_step(products.steps) != 0;
  LATHE_TRY(const Operand weights, weight_operand(lowering, node, products, taps, w.back()));
  LATHE_TRY(const Operand x, image_operand(lowering, node, products, pixels, {}, op.group, w.back(), copies));
  const BufferId a = x.memory(lowering);
  const DType stored = stored_type(weights, products.element());

  for (int64_t index = 0; index < phases; ++index) {
    std::vector<Phase> parts(spatial);
    int64_t rest = index;
    Dim first = 0, rows = 1;
    bool empty = false, reached = true;
    for (size_t d = spatial; d-- > 0;) {
      const int64_t remainder = rest % op.strides[d];
      rest /= op.strides[d];
      parts[d] = phase_of(op, d, w[d + 1].value(), in[d + 1], out[d + 1], remainder);
      first = first + rows * Dim(remainder);
      rows = rows * out[d + 1];
      if (const auto n = parts[d].axis.out.as_const(); n && *n <= 0) empty = true;
      reached &= parts[d].axis.kernel > 0;
    }
    if (empty) continue;
    Contraction c;
    c.dtype = dtype;
    c.steps = products.steps;
    c.flip = products.steps == Steps::kQuads && products.flip && !copies;
    c.groups = op.group;
    c.k = k;
    c.columns = w[0].value() / op.group;
    c.a_k = size;
    c.a_x = k * Dim(op.group) * size;
    c.out_first = first;
    c.out_image = rows;
    Dim step = c.a_x, row_step = 1, image = c.a_x;
    for (size_t d = 0; d < spatial; ++d) image = image * in[d + 1];
    c.images = {{in[0], image, 0}};
    for (size_t d = spatial; d-- > 0;) {
      if (!reached) {  // only the bias: one empty reduction
        parts[d].axis.kernel = 1;
        parts[d].axis.inside = true;
        c.k = 0;
      }
      if (d + 1 == spatial) {
        c.x = parts[d].axis;
        c.out_x = op.strides[d];
      } else {
        c.outer.insert(c.outer.begin(), parts[d].axis);
        c.a_outer.insert(c.a_outer.begin(), step);
        c.out_outer.insert(c.out_outer.begin(), row_step * Dim(op.strides[d]));
      }
      step = step * in[d + 1];
      row_step = row_step * out[d + 1];
    }
    BufferId packed = kNone;
    c.stored = stored;
    const int panel = shared_panel(lowering, c);
    if (reached) {
      PackSource source;
      source.dtype = stored;
      source.groups = op.group;
      source.k = c.k;
      source.k_stride = 1;
      source.columns = c.columns;
      Dim tap = c.k;
      for (size_t d = spatial; d-- > 0;) {
        source.taps.insert(source.taps.begin(), {parts[d].axis.kernel, tap * Dim(parts[d].step)});
        source.first = source.first + tap * Dim(parts[d].first);
        tap = tap * w[d + 1];
      }
      source.column_stride = tap;
      source.group_stride = tap * c.columns;
      LATHE_TRY(packed, packed_weights(lowering, node, source, weights, panel));
    }
    const Schedule s = pick_schedule(lowering, node, c, panel, "tile of phase " + std::to_string(index));
    LATHE_CHECK(call_contraction(lowering, node, c, s, a, packed, lowering.buffer(bias), "conv_transpose"));
  }
  return {};
}

}  // namespace lathe::codegen
