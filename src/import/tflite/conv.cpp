// SPDX-License-Identifier: Apache-2.0
// Convolutions and pools, which are channels-last in the format too.
#include "ops/conv.h"

#include <algorithm>

#include "import/tflite/handlers.h"
#include "import/tflite/window.h"
#include "ops/conv_transpose.h"
#include "ops/pool.h"

namespace lathe::tflite {

namespace {

constexpr int64_t kMost = int64_t{1} << 31;

}  // namespace

Result<Window> window(const Shape& spatial, std::vector<int64_t> kernel, std::vector<int64_t> strides,
                      std::vector<int64_t> dilations, fb::Padding padding) {
  const auto positive = [](int64_t v) { return v > 0 && v < kMost; };
  if (!std::ranges::all_of(kernel, positive) || !std::ranges::all_of(strides, positive) ||
      !std::ranges::all_of(dilations, positive))
    return damaged("the kernel, strides and dilations must be positive");
  const size_t dims = kernel.size();
  Window w{std::move(kernel), std::move(strides), std::move(dilations), std::vector<int64_t>(2 * dims, 0)};
  if (padding != fb::Padding::SAME && padding != fb::Padding::VALID) return damaged("unknown padding");
  if (padding == fb::Padding::VALID) return w;
  for (size_t d = 0; d < dims; ++d) {
    const int64_t reach = (w.kernel[d] - 1) * w.dilations[d] + 1;
    int64_t total = reach - w.strides[d];  // where the stride divides the size
    if (const auto size = spatial[d].as_const())
      total = ((*size + w.strides[d] - 1) / w.strides[d] - 1) * w.strides[d] + reach - *size;
    else if (w.strides[d] != 1)
      return unsupported("padding SAME with a stride needs known sizes, but the input's dimension is " +
                         spatial[d].str() + "; give them with --shape");
    total = std::max<int64_t>(total, 0);
    w.pads[d] = total / 2;
    w.pads[dims + d] = total - total / 2;
  }
  return w;
}

Result<Window> conv_window(const Node& n) {
  const Shape x = n.shape(0), w = n.shape(1);
  if (x.size() != 4 || w.size() != 4) return damaged("input and weights must have rank 4");
  const auto kernel = static_dims({w[1], w[2]});
  if (!kernel) return unsupported("the kernel size is not constant");
  const Shape spatial = {x[1], x[2]};
  if (const auto* o = n.options<fb::Conv2DOptions>())
    return window(spatial, *kernel, {o->stride_h(), o->stride_w()}, {o->dilation_h(), o->dilation_w()}, o->padding());
  if (const auto* o = n.options<fb::DepthwiseConv2DOptions>())
    return window(spatial, *kernel, {o->stride_h(), o->stride_w()}, {o->dilation_h(), o->dilation_w()}, o->padding());
  return damaged("it has no options");
}

fb::Activation conv_activation(const Node& n) {
  if (const auto* o = n.options<fb::Conv2DOptions>()) return o->activation();
  if (const auto* o = n.options<fb::DepthwiseConv2DOptions>()) return o->activation();
  if (const auto* o = n.options<fb::TransposeConvOptions>()) return o->activation();
  return fb::Activation::NONE;
}

Result<int64_t> conv_group(const Node& n) {
  const auto channels = n.shape(0)[3].as_const(), taken = n.shape(1)[3].as_const();
  if (!channels || !taken) return unsupported("the number of channels is not constant");
  if (*taken < 1 || *channels % *taken != 0)
    return damaged("the weights are for " + std::to_string(*taken) + " channels, the input has " +
                   std::to_string(*channels));
  return *channels / *taken;
}

ValueId depthwise_weights(Node& n, ValueId w) {
  const Shape s = n.b.shape(w);  // [1, h, w, channels * multiplier]
  return n.b.transpose(n.b.reshape(w, {s[1], s[2], s[3], 1}), {2, 0, 1, 3});
}

ValueId convolve(Node& n, Values inputs, const Window& w, int64_t group) {
  return n.b.make<ops::Conv>(std::move(inputs), [&](ops::Conv& c) {
    c.strides = w.strides;
    c.pads = w.pads;
    c.dilations = w.dilations;
    c.group = group;
  });
}

Result<Values> conv(Node& n) {
  LATHE_TRY(const Window w, conv_window(n));
  LATHE_TRY(const int64_t group, conv_group(n));
  Values inputs = {n.in(0), n.in(1)};
  if (n.has(2)) inputs.push_back(n.in(2));
  return n.done(activate(n, convolve(n, std::move(inputs), w, group), conv_activation(n)));
}

Result<Values> depthwise_conv(Node& n) {
  LATHE_TRY(const Window w, conv_window(n));
  const auto channels = n.shape(0)[3].as_const();
  if (!channels) return unsupported("the number of channels is not constant");
  Values inputs = {n.in(0), depthwise_weights(n, n.in(1))};
  if (n.has(2)) inputs.push_back(n.in(2));
  return n.done(activate(n, convolve(n, std::move(inputs), w, *channels), conv_activation(n)));
}

Result<TransposedWindow> transposed_window(const Node& n) {
  const auto* o = n.options<fb::TransposeConvOptions>();
  if (!o) return damaged("it has no options");
  if (n.rank(1) != 4 || n.rank(2) != 4) return damaged("input and weights must have rank 4");
  LATHE_TRY(const auto out, n.integers(0, "the output's shape"));
  const auto kernel = static_dims({n.shape(1)[1], n.shape(1)[2]}), in = static_dims({n.shape(2)[1], n.shape(2)[2]});
  if (!kernel || !in) return unsupported("it needs known sizes; give them with --shape");
  if (out.size() != 4) return damaged("the output's shape must have rank 4");
  // The padding is that of the convolution which leads from the output's size to the input's.
  LATHE_TRY(const Window w, window({out[1], out[2]}, *kernel, {o->stride_h(), o->stride_w()}, {1, 1}, o->padding()));
  TransposedWindow t{w, {0, 0}};
  for (size_t d = 0; d < 2; ++d) {
    if ((*in)[d] < 1 || (*in)[d] > kMost || out[d + 1] < 1 || out[d + 1] > kMost) return damaged("impossible sizes");
    const int64_t end = ((*in)[d] - 1) * w.strides[d] + w.kernel[d] - w.pads[d] - out[d + 1];
    t.window.pads[2 + d] = std::max<int64_t>(end, 0);
    t.output_padding[d] = std::max<int64_t>(-end, 0);
  }
  return t;
}

ValueId convolve_transposed(Node& n, Values inputs, const TransposedWindow& w) {
  return n.b.make<ops::ConvTranspose>(std::move(inputs), [&](ops::ConvTranspose& c) {
    c.strides = w.window.strides;
    c.pads = w.window.pads;
    c.output_padding = w.output_padding;
  });
}

// Inputs: the output's shape, weights, x, bias.
Result<Values> transpose_conv(Node& n) {
  LATHE_TRY(const TransposedWindow w, transposed_window(n));
  Values inputs = {n.in(2), n.in(1)};
  if (n.has(3)) inputs.push_back(n.in(3));
  return n.done(activate(n, convolve_transposed(n, std::move(inputs), w), conv_activation(n)));
}

// x[N, d, h, w, C] by weights [d, h, w, C, M]: the sum over the kernel's depth of convolutions whose batch is (N,
// depth).
Result<Values> conv_3d(Node& n) {
  const auto* o = n.options<fb::Conv3DOptions>();
  if (!o) return damaged("it has no options");
  const Shape x = n.shape(0), w = n.shape(1);
  if (x.size() != 5 || w.size() != 5) return damaged("input and weights must have rank 5");
  const auto kernel = static_dims({w[0], w[1], w[2]});
  const auto depth = x[1].as_const();
  if (!kernel || !depth) return unsupported("it needs known sizes; give them with --shape");
  LATHE_TRY(const Window all, window({x[1], x[2], x[3]}, *kernel, {o->stride_d(), o->stride_h(), o->stride_w()},
                                     {o->dilation_d(), o->dilation_h(), o->dilation_w()}, o->padding()));
  const int64_t reach = (all.kernel[0] - 1) * all.dilations[0] + 1, stride = all.strides[0];
  const int64_t padded = *depth + all.pads[0] + all.pads[3], out = padded < reach ? 0 : (padded - reach) / stride + 1;
  if (out < 1 || all.kernel[0] > 1024) return damaged("the kernel's depth does not fit the input");
  ValueId input = n.in(0);
  if (all.pads[0] + all.pads[3] > 0)
    input = n.b.op("Pad", {input, n.b.i64s({0, all.pads[0], 0, 0, 0, 0, all.pads[3], 0, 0, 0})});
  const Window flat{{all.kernel[1], all.kernel[2]},
                    {all.strides[1], all.strides[2]},
                    {all.dilations[1], all.dilations[2]},
                    {all.pads[1], all.pads[2], all.pads[4], all.pads[5]}};
  ValueId sum = kNoId;
  for (int64_t k = 0; k < all.kernel[0] && n.b.ok(); ++k) {
    const int64_t first = k * all.dilations[0];
    const ValueId layers = n.b.op("Slice", {input, n.b.i64s({first}), n.b.i64s({first + (out - 1) * stride + 1}),
                                            n.b.i64s({1}), n.b.i64s({stride})});
    const ValueId rows = n.b.reshape(layers, {x[0] * out, x[2], x[3], x[4]});
    const ValueId weights =
        n.b.transpose(n.b.reshape(n.b.slice(n.in(1), 0, k, k + 1), {w[1], w[2], w[3], w[4]}), {3, 0, 1, 2});
    const ValueId part = convolve(n, {rows, weights}, flat, 1);
    sum = k == 0 ? part : n.b.op("Add", {sum, part});
  }
  if (n.has(2)) sum = n.b.op("Add", {sum, n.in(2)});
  if (!n.b.ok()) return n.done(kNoId);
  const Shape s = n.b.shape(sum);
  return n.done(activate(n, n.b.reshape(sum, {x[0], out, s[1], s[2], s[3]}), o->activation()));
}

Result<Window> pool_window(const Node& n) {
  const auto* o = n.options<fb::Pool2DOptions>();
  if (!o) return damaged("it has no options");
  const Shape x = n.shape(0);
  if (x.size() != 4) return damaged("the input must have rank 4");
  return window({x[1], x[2]}, {o->filter_height(), o->filter_width()}, {o->stride_h(), o->stride_w()}, {1, 1},
                o->padding());
}

ValueId pooled(Node& n, ValueId x, const Window& w, std::string_view kind, bool count_pad) {
  return n.b.make<ops::Pool>({x}, [&](ops::Pool& p) {
    p.kind = kind;
    p.kernel = w.kernel;
    p.strides = w.strides;
    p.pads = w.pads;
    p.count_include_pad = count_pad;
  });
}

// "max", "average" (of what lies inside the input) or "l2": the root of the average of squares.
Result<Values> pool(Node& n) {
  LATHE_TRY(const Window w, pool_window(n));
  const bool l2 = n.canonical() == "l2";
  ValueId y = pooled(n, l2 ? n.b.op("Mul", {n.in(0), n.in(0)}) : n.in(0), w, l2 ? "average" : n.canonical(), false);
  if (l2) y = n.b.op("Sqrt", {y});
  return n.done(activate(n, y, n.options<fb::Pool2DOptions>()->activation()));
}

}  // namespace lathe::tflite
