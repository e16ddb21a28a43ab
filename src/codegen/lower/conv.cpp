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

/// Makes room around an axis, so that no tap falls outside; returns the room. `pad_end`: of the operator.
Padded make_room(Axis& a, int64_t pad_end) {
  Padded p{a.in, std::max<int64_t>(0, a.pad), std::max<int64_t>(0, pad_end)};
  if (a.in.is_const() && a.out.is_const())  // no more than the last window needs
    p.after = std::max<int64_t>(0, (a.out.value() - 1) * a.stride - a.pad + a.reach() + 1 - a.in.value());
  a.pad -= p.before;
  a.in = a.in + Dim(p.before + p.after);
  a.settle(true);
  return p;
}

/// Leaves out last axes of one pixel, so that tiles walk along one that has more (a convolution over a sequence).
void drop_unit_axes(std::vector<Axis>& axes) {
  while (axes.size() > 1 && axes.back().kernel == 1 && axes.back().pad == 0 && axes.back().in.equals(1) &&
         axes.back().out.equals(1))
    axes.pop_back();
}

bool is_pointwise(const Axis& a) { return a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.inside && a.in == a.out; }

/// Everything about sizes and strides. Elements of a are `size` bytes, `k` of them are read by a tap and group.
Contraction geometry(const std::vector<Axis>& axes, const Dim& images, int64_t groups, const Dim& k, const Dim& filters,
                     const Dim& size) {
  Contraction c;
  c.groups = groups;
  c.k = k;
  c.columns = filters.value() / groups;
  c.a_k = size;
  c.a_x = k * Dim(groups) * size;
  Dim pixels_in = 1, pixels_out = 1;
  for (const Axis& a : axes) {
    pixels_in = pixels_in * a.in;
    pixels_out = pixels_out * a.out;
  }
  if (std::all_of(axes.begin(), axes.end(), is_pointwise)) {
    c.x.in = c.x.out = images * pixels_in;
    c.out_image = c.x.out;
    return c;
  }
  c.images = {{images, pixels_in * c.a_x, 0}};
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
  return c;
}

/// Where the weights of `c` lie: OHWI.
PackSource weights_of(const Contraction& c, const std::vector<Axis>& axes, DType element) {
  PackSource source;
  source.dtype = element;
  source.groups = c.groups;
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
  return source;
}

}  // namespace

Status lower_conv(Lowering& lowering, const Node& node) {
  const auto& op = *node.as<ops::Conv>();
  const ValueId bias = node.anchor_inputs > 2 ? node.inputs[2] : kNoId;
  const Shape &in = lowering.shape(node.inputs[0]), &w = lowering.shape(node.inputs[1]),
              &out = lowering.shape(node.outputs[0]);
  const bool corrects = bias == kNoId || lowering.value(bias).constant;
  const Products products = choose_products(lowering, node.inputs[0], node.inputs[1], op.x_zero, op.w_zero, corrects);
  if (dtype_bits(products.sum) != 32 && dtype_bits(products.sum) != 64)
    return fail(Code::kUnsupported,
                "convolution of " + std::string(dtype_name(products.sum)) + " is not generated yet");
  if (!w.back().is_const() || !w[0].is_const())
    return fail(Code::kUnsupported, "the channels of weight " + shape_str(w) + " are not constant");
  std::vector<Axis> axes = axes_of(op, in, w, out);
  drop_unit_axes(axes);
  const auto& constant = lowering.value(node.inputs[1]).constant;
  if (constant && products.integers) {
    Contraction c = geometry(axes, in[0], op.group, w.back(), w[0], dtype_bits(lowering.dtype(node.inputs[0])) / 8);
    c.dtype = products.sum;
    if (channelwise_fits(lowering.target, c))
      return call_channelwise(lowering, node, c, weights_of(c, axes, DType::kI16), products, lowering.buffer(bias));
  }

  // Small integers: where x must be copied, and with how much room.
  const bool quads = products.steps == Steps::kQuads;
  std::vector<Padded> spatial;
  bool copies = products.steps == Steps::kPairs || (quads && w.back().value() % 4 != 0);
  for (size_t d = 0; d < axes.size(); ++d) {
    Padded p{axes[d].in};
    if (quads && products.offset != 0 && !axes[d].inside) p = make_room(axes[d], op.pads[op.strides.size() + d]);
    copies = copies || p.before || p.after;
    spatial.push_back(p);
  }
  Contraction c = geometry(axes, in[0], op.group, products.length(w.back()), w[0], dtype_bits(products.element()) / 8);
  c.dtype = products.sum;
  c.steps = products.steps;
  c.flip = quads && products.flip && !copies;
  PackSource source = weights_of(c, axes, products.element());
  LATHE_TRY(const Operand weights, weight_operand(lowering, node, products, w[0] * Dim(c.taps()), w.back()));
  LATHE_TRY(const Operand x, image_operand(lowering, node, products, in[0], spatial, op.group, w.back(), copies));
  const BufferId a = x.memory(lowering), sums = corrected_bias(lowering, products, bias, w[0]);
  if (constant && !products.integers && channelwise_fits(lowering.target, c))
    return call_channelwise(lowering, node, c, source, products, sums);
  if (const int tile = winograd_tile(lowering, node, c, weights.constant ? &*weights.constant : nullptr))
    return call_winograd(lowering, node, c, *weights.constant, a, sums, tile);
  source.dtype = c.stored = stored_type(weights, products.element());
  const Schedule s = pick_schedule(lowering, node, c, shared_panel(lowering, c), "tile");
  LATHE_TRY(const BufferId packed, packed_weights(lowering, node, source, weights, s.panel));
  return call_contraction(lowering, node, c, s, a, packed, sums, "conv");
}

}  // namespace lathe::codegen
