// SPDX-License-Identifier: Apache-2.0
// Sampling at places that are data, and what is made of it.
#include "import/onnx/computed_axes.h"
#include "import/onnx/handlers.h"
#include "ops/grid_sample.h"
#include "ops/matmul.h"

namespace lathe::onnx {

Result<Values> grid_sample(Node& n) {
  auto mode = n.s("mode", "linear");
  if (mode == "bilinear") mode = "linear";
  if (mode == "bicubic") mode = "cubic";
  const ValueId grid = n.b.cast(n.in(1), n.dtype(0) == DType::kF64 ? DType::kF64 : n.dtype(0));
  return n.done(n.b.make<ops::GridSample>({n.in(0), grid}, [&](ops::GridSample& g) {
    g.mode = mode;
    g.padding = n.s("padding_mode", "zeros");
    g.align_corners = n.i("align_corners", 0) != 0;
  }));
}

// theta [N, d, d + 1], size [d + 2] → [N, spatial…, d]: theta applied to the places of a regular grid.
Result<Values> affine_grid(Node& n) {
  const Shape t = n.shape(0);
  const auto d = t.size() == 3 ? t[1].as_const() : std::nullopt;
  if (!d || (*d != 2 && *d != 3)) return damaged("theta must be [N, 2, 3] or [N, 3, 4], not " + shape_str(t));
  const bool corners = n.i("align_corners", 0) != 0;
  const DType type = n.dtype(0);
  const ValueId size = n.b.cast(n.in(1), DType::kI64);
  const auto f = [&](double v) { return n.b.scalar(type, v); };
  const auto column = [&](int64_t k) {  // of every row of theta: [N, 1…, d]
    Shape s(static_cast<size_t>(*d) + 2, Dim(1));
    s.front() = t[0];
    s.back() = *d;
    return n.b.reshape(n.b.slice(n.in(0), 2, k, k + 1), s);
  };
  ValueId y = column(*d);
  for (int64_t k = 0; k < *d && n.b.ok(); ++k) {
    const ValueId count = n.b.reshape(n.b.slice(size, 0, k + 2, k + 3), {});
    const ValueId i = n.b.cast(n.b.op("Range", {n.b.i64(0), count, n.b.i64(1)}), type);
    const ValueId m = n.b.cast(count, type);
    // -1 … 1 over the corners' centres, or over their outer edges.
    const ValueId last = n.b.op("Max", {n.b.op("Sub", {m, f(1)}), f(1)});
    const ValueId places =
        corners ? n.b.op("Sub", {n.b.op("Div", {n.b.op("Mul", {i, f(2)}), last}), f(1)})
                : n.b.op("Sub", {n.b.op("Div", {n.b.op("Add", {n.b.op("Mul", {i, f(2)}), f(1)}), m}), f(1)});
    if (!n.b.ok()) break;
    Shape s(static_cast<size_t>(*d) + 2, Dim(1));
    s[static_cast<size_t>(k) + 1] = n.b.shape(places)[0];
    // The last coordinate comes first.
    y = n.b.op("Add", {y, n.b.op("Mul", {n.b.reshape(places, s), column(*d - 1 - k)})});
  }
  return n.done(y);
}

// X [N, C, H, W], W [M, C/group, kh, kw], offset [N, og * kh * kw * 2, oh, ow], B?, mask? [N, og * kh * kw, oh, ow]:
// the input is sampled where each tap of each output lies, and multiplied as a matrix. ONNX DeformConv-22.
Result<Values> deform_conv(Node& n) {
  const auto x = static_dims(n.shape(0)), w = static_dims(n.shape(1)), o = static_dims(n.shape(2));
  if (!x || !w || !o) return unsupported("the shapes must be known at build time; give them with --shape");
  if (x->size() != 4 || w->size() != 4 || o->size() != 4)
    return unsupported("only two spatial dimensions are supported");
  const int64_t group = n.i("group", 1), og = n.i("offset_group", 1), batch = (*x)[0], channels = (*x)[1],
                outputs = (*w)[0], kh = (*w)[2], kw = (*w)[3], oh = (*o)[2], ow = (*o)[3], taps = kh * kw;
  const auto strides = n.ints("strides").value_or(std::vector<int64_t>{1, 1}),
             pads = n.ints("pads").value_or(std::vector<int64_t>{0, 0, 0, 0}),
             dilations = n.ints("dilations").value_or(std::vector<int64_t>{1, 1});
  if (group < 1 || og < 1 || channels % og != 0 || outputs % group != 0 || channels != (*w)[1] * group ||
      (*o)[1] != og * taps * 2 || (*o)[0] != batch || strides.size() != 2 || pads.size() != 4 || dilations.size() != 2)
    return damaged("the input, the weight and the offsets do not fit");
  for (const auto* list : {&strides, &pads, &dilations})
    for (const int64_t v : *list)
      if (v < 0 || v > INT32_MAX) return damaged("strides, pads or dilations are out of range");
  if (taps * oh * ow > int64_t{1} << 28) return unsupported("the output is too large");
  const DType type = n.dtype(0);
  // Where the taps lie without offsets: [taps, oh, ow] for each coordinate.
  Tensor rows = Tensor::zeros(type, {taps, oh, ow}), columns = Tensor::zeros(type, {taps, oh, ow});
  for (int64_t k = 0, at = 0; k < taps; ++k)
    for (int64_t i = 0; i < oh; ++i)
      for (int64_t j = 0; j < ow; ++j, ++at) {
        const int64_t tap_row = k / kw, tap_column = k % kw;
        rows.set(at, static_cast<double>(i * strides[0] - pads[0] + tap_row * dilations[0]));
        columns.set(at, static_cast<double>(j * strides[1] - pads[1] + tap_column * dilations[1]));
      }
  const ValueId offsets = n.b.reshape(n.in(2), {batch * og, taps, 2, oh, ow});
  const auto coordinate = [&](int64_t which, Tensor base) {
    const ValueId part = n.b.reshape(n.b.slice(offsets, 2, which, which + 1), {batch * og, taps, oh, ow});
    return n.b.reshape(n.b.op("Add", {part, n.b.constant(std::move(base))}), {batch * og, taps * oh, ow, 1});
  };
  const ValueId grid = n.b.concat({coordinate(1, columns), coordinate(0, rows)}, 3);
  ValueId samples = n.b.make<ops::GridSample>(
      {n.b.reshape(n.in(0), {batch * og, channels / og, (*x)[2], (*x)[3]}), grid}, [](ops::GridSample& g) {
        g.normalized = false;
        g.align_corners = true;
      });
  samples = n.b.reshape(samples, {batch, og, channels / og, taps, oh * ow});
  if (n.has(4)) samples = n.b.op("Mul", {samples, n.b.reshape(n.in(4), {batch, og, 1, taps, oh * ow})});
  const ValueId weights = n.b.reshape(n.in(1), {group, outputs / group, (*w)[1] * taps});
  ValueId y = n.b.add(std::make_shared<ops::MatMul>(),
                      {weights, n.b.reshape(samples, {batch, group, (*w)[1] * taps, oh * ow})});
  y = n.b.reshape(y, {batch, outputs, oh, ow});
  if (n.has(3)) y = n.b.op("Add", {y, n.b.reshape(n.in(3), {outputs, 1, 1})});
  return n.done(y);
}

}  // namespace lathe::onnx
