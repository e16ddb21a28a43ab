// SPDX-License-Identifier: Apache-2.0
// Convolution as a contraction over NHWC input and packed OHWI weights. A convolution that is a matrix product (kernel
// 1, stride 1, no padding) treats all pixels of all images as rows.
#include "ops/conv.h"

#include <algorithm>

#include "codegen/channelwise.h"
#include "codegen/contraction.h"
#include "codegen/integer.h"
#include "codegen/lower/lower.h"
#include "codegen/pack.h"
#include "codegen/winograd.h"
#include "ops/_integer.h"

namespace lathe::codegen {

namespace {

std::vector<Axis> axes_of(const ops::Conv& op, const Shape& in, const Shape& kernel, const Shape& out) {
  std::vector<Axis> axes;
  const size_t spatial = op.strides.size();
  for (size_t d = 0; d < spatial; ++d) {
    Axis a{kernel[d + 1].value(), op.strides[d], op.dilations[d], op.pads[d], in[d + 1], out[d + 1], false};
    a.settle(op.pads[d] <= 0 && op.pads[spatial + d] <= 0);
    axes.push_back(std::move(a));
  }
  return axes;
}

bool is_pointwise(const Axis& a) { return a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.inside && a.in == a.out; }

}  // namespace

Status lower_conv(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Conv>();
  const ValueId bias = node.anchor_inputs > 2 ? node.inputs[2] : kNoId;
  const Shape &in = lowering.shape(node.inputs[0]), &w = lowering.shape(node.inputs[1]),
              &out = lowering.shape(node.outputs[0]);
  Contraction c;
  c.dtype = ops::sum_type(lowering.dtype(node.inputs[0]), lowering.dtype(node.inputs[1]));
  if (dtype_bits(c.dtype) != 32 && dtype_bits(c.dtype) != 64)
    return fail(Code::kUnsupported, "convolution of " + std::string(dtype_name(c.dtype)) + " is not generated yet");
  if (!w.back().is_const() || !w[0].is_const())
    return fail(Code::kUnsupported, "the channels of weight " + shape_str(w) + " are not constant");
  const Dim size = dtype_bits(c.dtype) / 8, channels = in.back();
  c.groups = op.group;
  c.k = w.back();
  c.columns = w[0].value() / op.group;
  c.a_k = size;
  c.a_x = channels * size;

  std::vector<Axis> axes = axes_of(op, in, w, out);
  Dim pixels_in = 1, pixels_out = 1;
  for (const Axis& a : axes) {
    pixels_in = pixels_in * a.in;
    pixels_out = pixels_out * a.out;
  }
  if (std::all_of(axes.begin(), axes.end(), is_pointwise)) {
    c.x.in = c.x.out = in[0] * pixels_in;
    c.out_image = c.x.out;
  } else {
    c.images = {{in[0], pixels_in * c.a_x, 0}};
    c.out_image = pixels_out;
    c.x = axes.back();
    Dim stride = c.a_x, rows = 1;
    for (size_t i = axes.size(); i-- > 1;) {
      stride = stride * axes[i].in;
      rows = rows * axes[i].out;
      const Axis& a = axes[i - 1];
      if (is_pointwise(a) && a.out.equals(1)) continue;
      c.outer.insert(c.outer.begin(), a);
      c.a_outer.insert(c.a_outer.begin(), stride);
      c.out_outer.insert(c.out_outer.begin(), rows);
    }
  }

  PackSource source;
  source.dtype = c.dtype;
  source.groups = op.group;
  source.k = c.k;
  source.k_stride = 1;
  source.columns = c.columns;
  source.column_stride = Dim(c.taps()) * c.k;
  source.group_stride = source.column_stride * c.columns;
  Dim step = c.k;
  for (size_t d = axes.size(); d-- > 0;) {
    source.taps.insert(source.taps.begin(), {axes[d].kernel, step});
    step = step * Dim(axes[d].kernel);
  }
  LATHE_TRY(const Operand weights, contraction_operand(lowering, node, node.inputs[1], op.w_zero, c.dtype));
  LATHE_TRY(const Operand x, contraction_operand(lowering, node, node.inputs[0], op.x_zero, c.dtype));
  const BufferId a = x.memory(lowering);
  const auto& constant = weights.constant;
  if (constant && channelwise_fits(lowering.target, c))
    return call_channelwise(lowering, node, c, source, *constant, a, lowering.buffer(bias));
  if (const int tile = winograd_tile(lowering, node, c, constant ? &*constant : nullptr))
    return call_winograd(lowering, node, c, *constant, a, lowering.buffer(bias), tile);
  const Schedule s = candidates(lowering, c, lowering.target, shared_panel(lowering, c)).front();
  LATHE_TRY(const BufferId packed, packed_weights(lowering, node, source, weights, s.panel));
  return call_contraction(lowering, node, c, s, a, packed, lowering.buffer(bias), "conv");
}

}  // namespace lathe::codegen
