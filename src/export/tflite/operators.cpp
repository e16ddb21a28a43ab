// SPDX-License-Identifier: Apache-2.0
// Canonical operators as LiteRT's: those that are not elementwise, and elementwise ones that it has as one operator.
#include <algorithm>
#include <numeric>

#include "export/tflite/writer.h"
#include "ir/attr_visitor.h"
#include "ops/arg_reduce.h"
#include "ops/attention.h"
#include "ops/concat.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/gather.h"
#include "ops/gelu.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/pad.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/resize.h"
#include "ops/softmax.h"
#include "ops/transpose.h"

namespace lathe::tflite {

namespace {

template <class T>
const T& as(const Node& n) {
  return *n.as<T>();
}

bool has(const Node& n, size_t i) { return i < n.inputs.size() && n.inputs[i] != kNoId; }

const Tensor* constant_of(const Writer& w, const Node& n, size_t i) {
  if (!has(n, i)) return nullptr;
  const auto& c = w.g.value(n.inputs[i]).constant;
  return c ? &*c : nullptr;
}

/// The integers of input i, which must be constant.
Result<Dims> integers(const Writer& w, const Node& n, size_t i, const char* what) {
  const Tensor* t = constant_of(w, n, i);
  if (!t) return unsupported(std::string(what) + " must be constant");
  Dims v;
  for (int64_t k = 0; k < t->count(); ++k) v.push_back(t->i64_at(k));
  return v;
}

Status floats_only(const Writer& w, const Node& n) {
  if (w.g.value(n.inputs[0]).dtype == DType::kF32) return {};
  return unsupported("on " + std::string(dtype_name(w.g.value(n.inputs[0]).dtype)) + " it is not written yet");
}

/// A number of an operator whose struct is private to its file.
double number(const Node& n, std::string_view name) { return attribute<double>(*n.op, name).value_or(0); }

Status unary(Writer& w, const Node& n, TensorId out, Builtin op) {
  LATHE_CHECK(floats_only(w, n));
  w.add(op, {w.tensor(n.inputs[0])}, out);
  return {};
}
Status relu(Writer& w, const Node& n, TensorId out) { return unary(w, n, out, Builtin::kRelu); }
Status hard_swish(Writer& w, const Node& n, TensorId out) { return unary(w, n, out, Builtin::kHardSwish); }

Status gelu(Writer& w, const Node& n, TensorId out) {
  LATHE_CHECK(floats_only(w, n));
  w.add(Builtin::kGelu, {w.tensor(n.inputs[0])}, out,
        fb::CreateGeluOptions(w.b, as<ops::Gelu>(n).approximate == "tanh"));
  return {};
}

Status leaky_relu(Writer& w, const Node& n, TensorId out) {
  LATHE_CHECK(floats_only(w, n));
  w.add(Builtin::kLeakyRelu, {w.tensor(n.inputs[0])}, out,
        fb::CreateLeakyReluOptions(w.b, static_cast<float>(number(n, "alpha"))));
  return {};
}

// Windows: LiteRT pads as TensorFlow does (SAME) or not at all (VALID); other padding is an operator of its own.
struct Window {
  fb::Padding padding = fb::Padding::VALID;
  Dims pads;  ///< to be added before: begins, then ends
  [[nodiscard]] bool padded() const {
    return std::ranges::any_of(pads, [](int64_t p) { return p != 0; });
  }
};

Result<Window> window(const Dims& in, const Dims& out, const Dims& kernel, const Dims& strides, const Dims& dilations,
                      const Dims& pads) {
  Window w;
  bool same = true;
  w.pads = pads;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t reach = (kernel[d] - 1) * dilations[d] + 1;
    // What the windows need at the end: less than what the model pads where the last window does not reach it.
    const int64_t end = (out[d] - 1) * strides[d] + reach - in[d] - pads[d];
    w.pads[2 + d] = std::max<int64_t>(end, 0);
    const int64_t total = std::max<int64_t>((out[d] - 1) * strides[d] + reach - in[d], 0);
    same = same && out[d] == (in[d] + strides[d] - 1) / strides[d] && pads[d] == total / 2;
    if (pads[d] < 0) return unsupported("windows that crop are not written yet");
  }
  if (w.padded() && same) {
    w.padding = fb::Padding::SAME;
    w.pads = {0, 0, 0, 0};
  }
  return w;
}

TensorId padded(Writer& w, TensorId x, const Window& window, double value) {
  if (!window.padded()) return x;
  const Dims& p = window.pads;
  Dims to = w.dims(x);
  to[1] += p[0] + p[2];
  to[2] += p[1] + p[3];
  const Dims flat = {0, 0, p[0], p[2], p[1], p[3], 0, 0};
  const TensorId table = w.reshape(w.i32s(flat), {4, 2});
  const TensorId y = w.temporary(w.dtype(x), to);
  if (value == 0) return w.add(Builtin::kPad, {x, table}, y);
  return w.add(Builtin::kPadV2, {x, table, w.scalar(w.dtype(x), value)}, y);
}

Result<TensorId> bias_of(Writer& w, const Node& n, int64_t channels) {
  if (!has(n, 2)) return w.constant(Tensor::zeros(DType::kF32, {channels}));
  return w.reshape(w.tensor(n.inputs[2]), {channels});
}

Dims spatial(const Dims& d) { return {d[1], d[2]}; }

Status conv(Writer& w, const Node& n, TensorId out) {
  const auto& c = as<ops::Conv>(n);
  LATHE_CHECK(floats_only(w, n));
  const TensorId x = w.tensor(n.inputs[0]);
  if (w.dims(x).size() != 4) return unsupported("convolutions over other than two dimensions");
  const Tensor* filter = constant_of(w, n, 1);
  const Dims f = w.dims_of(n.inputs[1]);
  const int64_t channels = w.dims(x)[3];
  LATHE_TRY(const Window win,
            window(spatial(w.dims(x)), spatial(w.dims(out)), spatial(f), c.strides, c.dilations, c.pads));
  LATHE_TRY(const TensorId bias, bias_of(w, n, f[0]));
  const TensorId image = padded(w, x, win, 0);
  const auto number = [](int64_t v) { return static_cast<int32_t>(v); };
  if (c.group == 1 || c.group != channels || f[3] != 1) {
    const TensorId weights = filter ? w.constant(*filter, w.g.value(n.inputs[1]).name) : w.tensor(n.inputs[1]);
    w.add(Builtin::kConv, {image, weights, bias}, out,
          fb::CreateConv2DOptions(w.b, win.padding, number(c.strides[1]), number(c.strides[0]), fb::Activation::NONE,
                                  number(c.dilations[1]), number(c.dilations[0])));
    return {};
  }
  // [outputs, h, w, 1] becomes [1, h, w, outputs].
  TensorId weights = kAbsent;
  if (filter) {
    ops::Transpose t;
    t.perm = {3, 1, 2, 0};
    LATHE_TRY(const auto moved, t.evaluate({filter, 1}));
    weights = w.constant(moved[0], w.g.value(n.inputs[1]).name);
  } else {
    weights = w.transpose(w.tensor(n.inputs[1]), {3, 1, 2, 0});
  }
  w.add(Builtin::kDepthwiseConv, {image, weights, bias}, out,
        fb::CreateDepthwiseConv2DOptions(w.b, win.padding, number(c.strides[1]), number(c.strides[0]),
                                         number(f[0] / channels), fb::Activation::NONE, number(c.dilations[1]),
                                         number(c.dilations[0])));
  return {};
}

Status conv_transpose(Writer& w, const Node& n, TensorId out) {
  const auto& c = as<ops::ConvTranspose>(n);
  LATHE_CHECK(floats_only(w, n));
  const TensorId x = w.tensor(n.inputs[0]);
  const Dims in = w.dims(x), o = w.dims(out), f = w.dims_of(n.inputs[1]);
  if (in.size() != 4 || c.group != 1) return unsupported("transposed convolutions in groups");
  bool same = true, valid = true;
  for (size_t d = 0; d < 2; ++d) {
    if (c.dilations[d] != 1) return unsupported("transposed convolutions with dilation");
    const int64_t k = f[1 + d], full = (in[1 + d] - 1) * c.strides[d] + k;
    valid = valid && c.pads[d] == 0 && o[1 + d] >= full && o[1 + d] - full < c.strides[d];
    same = same && o[1 + d] == in[1 + d] * c.strides[d] && c.pads[d] == std::max<int64_t>(k - c.strides[d], 0) / 2;
  }
  if (!same && !valid) return unsupported("LiteRT has no transposed convolution with this padding");
  LATHE_TRY(const TensorId bias, bias_of(w, n, f[0]));
  const TensorId weights = w.tensor(n.inputs[1]);
  w.add(Builtin::kTransposeConv, {w.i32s(o), weights, x, bias}, out,
        fb::CreateTransposeConvOptions(w.b, valid ? fb::Padding::VALID : fb::Padding::SAME,
                                       static_cast<int32_t>(c.strides[1]), static_cast<int32_t>(c.strides[0])));
  return {};
}

Status pool(Writer& w, const Node& n, TensorId out) {
  const auto& p = as<ops::Pool>(n);
  LATHE_CHECK(floats_only(w, n));
  if (p.kind == "sum" || p.dilations != Dims{1, 1}) return unsupported("this kind of window");
  const bool max = p.kind == "max";
  const TensorId x = w.tensor(n.inputs[0]);
  LATHE_TRY(const Window win,
            window(spatial(w.dims(x)), spatial(w.dims(out)), p.kernel, p.strides, p.dilations, p.pads));
  // LiteRT's averages never count its own padding.
  const bool counted = !max && p.count_include_pad;
  if (!max && !counted && win.padded()) return unsupported("an average over padded windows other than SAME");
  if (counted && win.padding == fb::Padding::SAME) return unsupported("an average that counts its padding");
  const TensorId image = padded(w, x, win, max ? -3.4028234663852886e38 : 0);
  w.add(
      max ? Builtin::kMaxPool : Builtin::kAveragePool, {image}, out,
      fb::CreatePool2DOptions(w.b, win.padding, static_cast<int32_t>(p.strides[1]), static_cast<int32_t>(p.strides[0]),
                              static_cast<int32_t>(p.kernel[1]), static_cast<int32_t>(p.kernel[0])));
  return {};
}

Status product(Writer& w, TensorId a, TensorId c, bool trans_a, bool trans_b, TensorId out) {
  w.add(Builtin::kBatchMatMul, {a, c}, out, fb::CreateBatchMatMulOptions(w.b, trans_a, trans_b));
  return {};
}

// With a constant matrix on the right FULLY_CONNECTED, whose weights are [outputs, inputs].
Status matmul(Writer& w, const Node& n, TensorId out) {
  const auto& m = as<ops::MatMul>(n);
  LATHE_CHECK(floats_only(w, n));
  const TensorId a = w.tensor(n.inputs[0]);
  const Tensor* weights = constant_of(w, n, 1);
  if (!weights || weights->dims().size() != 2 || m.trans_a)
    return product(w, a, w.tensor(n.inputs[1]), m.trans_a, m.trans_b, out);
  TensorId c = kAbsent;
  if (m.trans_b) {
    c = w.tensor(n.inputs[1]);
  } else {
    ops::Transpose t;
    t.perm = {1, 0};
    LATHE_TRY(const auto turned, t.evaluate({weights, 1}));
    c = w.constant(turned[0], w.g.value(n.inputs[1]).name);
  }
  const bool keep = w.dims(a).size() > 2;
  w.add(Builtin::kFullyConnected, {a, c, kAbsent}, out,
        fb::CreateFullyConnectedOptions(w.b, fb::Activation::NONE, fb::WeightsFormat::DEFAULT, keep));
  return {};
}

Status softmax_along_last(Writer& w, TensorId x, bool log, TensorId out) {
  if (log)
    w.add(Builtin::kLogSoftmax, {x}, out);
  else
    w.add(Builtin::kSoftmax, {x}, out, fb::CreateSoftmaxOptions(w.b, 1));
  return {};
}

Status softmax(Writer& w, const Node& n, TensorId out) {
  const auto& s = as<ops::Softmax>(n);
  LATHE_CHECK(floats_only(w, n));
  const TensorId x = w.tensor(n.inputs[0]);
  const auto rank = static_cast<int64_t>(w.dims(x).size());
  if (s.axis == rank - 1) return softmax_along_last(w, x, s.log, out);
  Dims perm(static_cast<size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[static_cast<size_t>(s.axis)], perm.back());
  const TensorId turned = w.transpose(x, perm);
  const TensorId y = w.temporary(DType::kF32, w.dims(turned));
  LATHE_CHECK(softmax_along_last(w, turned, s.log, y));
  w.transpose(y, perm, out);
  return {};
}

TensorId binary(Writer& w, Builtin op, TensorId a, TensorId c, TensorId out) {
  if (op == Builtin::kAdd) return w.add(op, {a, c}, out, fb::CreateAddOptions(w.b));
  if (op == Builtin::kSub) return w.add(op, {a, c}, out, fb::CreateSubOptions(w.b));
  return w.add(op, {a, c}, out, fb::CreateMulOptions(w.b));
}

TensorId reduced(Writer& w, Builtin op, TensorId x, const Dims& axes, bool keep, TensorId out) {
  return w.add(op, {x, w.i32s(axes)}, out, fb::CreateReducerOptions(w.b, keep));
}

Status reduce(Writer& w, const Node& n, TensorId out) {
  const auto& r = as<ops::Reduce>(n);
  constexpr std::pair<std::string_view, Builtin> kKinds[] = {
      {"sum", Builtin::kSum},       {"mean", Builtin::kMean},       {"max", Builtin::kReduceMax},
      {"min", Builtin::kReduceMin}, {"prod", Builtin::kReduceProd}, {"sum_square", Builtin::kSum},
      {"l1", Builtin::kSum},        {"l2", Builtin::kSum}};
  const auto* const kind = std::ranges::find(kKinds, r.kind, [](const auto& k) { return k.first; });
  if (kind == std::end(kKinds)) return unsupported("reduction " + r.kind);
  TensorId x = w.tensor(n.inputs[0]);
  if (r.kind == "sum_square" || r.kind == "l2") x = binary(w, Builtin::kMul, x, x, w.temporary(w.dtype(x), w.dims(x)));
  if (r.kind == "l1") x = w.add(Builtin::kAbs, {x}, w.temporary(w.dtype(x), w.dims(x)));
  if (r.axes.empty()) {
    w.reshape(x, w.dims(out), out);
    return {};
  }
  if (r.kind != "l2") {
    reduced(w, kind->second, x, r.axes, r.keepdims, out);
    return {};
  }
  w.add(Builtin::kSqrt, {reduced(w, kind->second, x, r.axes, r.keepdims, w.temporary(w.dtype(x), w.dims(out)))}, out);
  return {};
}

Status arg_reduce(Writer& w, const Node& n, TensorId out) {
  const auto& r = as<ops::ArgReduce>(n);
  if (r.select_last) return unsupported("LiteRT takes the first of equal elements");
  Dims dims = w.dims_of(n.inputs[0]);
  dims.erase(dims.begin() + r.axis);
  const TensorId y = r.keepdims ? w.temporary(DType::kI64, dims) : out;
  const std::vector<TensorId> inputs = {w.tensor(n.inputs[0]), w.i32s({r.axis})};
  if (r.kind == "max")
    w.add(Builtin::kArgMax, inputs, y, fb::CreateArgMaxOptions(w.b, fb::TensorType::INT64));
  else
    w.add(Builtin::kArgMin, inputs, y, fb::CreateArgMinOptions(w.b, fb::TensorType::INT64));
  if (r.keepdims) w.reshape(y, w.dims(out), out);
  return {};
}

Status layer_norm(Writer& w, const Node& n, TensorId out) {
  const auto& l = as<ops::LayerNorm>(n);
  LATHE_CHECK(floats_only(w, n));
  TensorId x = w.tensor(n.inputs[0]);
  const Dims full = w.dims(x);
  Dims axes, kept = full;
  for (size_t d = static_cast<size_t>(l.axis); d < full.size(); ++d) {
    axes.push_back(static_cast<int64_t>(d));
    kept[d] = 1;
  }
  const auto like = [&](const Dims& d) { return w.temporary(DType::kF32, d); };
  if (!l.rms) {
    const TensorId mean = reduced(w, Builtin::kMean, x, axes, true, like(kept));
    x = binary(w, Builtin::kSub, x, mean, like(full));
  }
  const TensorId square = binary(w, Builtin::kMul, x, x, like(full));
  const TensorId variance = reduced(w, Builtin::kMean, square, axes, true, like(kept));
  const TensorId safe = binary(w, Builtin::kAdd, variance, w.scalar(DType::kF32, l.epsilon), like(kept));
  const TensorId factor = w.add(Builtin::kRsqrt, {safe}, like(kept));
  const bool scaled = has(n, 1), biased = has(n, 2);
  TensorId y = binary(w, Builtin::kMul, x, factor, scaled || biased ? like(full) : out);
  if (scaled) y = binary(w, Builtin::kMul, y, w.tensor(n.inputs[1]), biased ? like(full) : out);
  if (biased) binary(w, Builtin::kAdd, y, w.tensor(n.inputs[2]), out);
  return {};
}

// softmax(q k^T * scale + mask) v
Status attention(Writer& w, const Node& n, TensorId out) {
  const auto& a = as<ops::Attention>(n);
  LATHE_CHECK(floats_only(w, n));
  const Dims order = {0, 2, 1, 3};
  const auto heads_first = [&](size_t i) {
    const TensorId t = w.tensor(n.inputs[i]);
    return a.heads_last ? w.transpose(t, order) : t;
  };
  const TensorId q = heads_first(0), k = heads_first(1), v = heads_first(2);
  if (w.dims(q)[1] != w.dims(k)[1]) return unsupported("several queries for one key");
  if (a.causal) return unsupported("causal attention is not written yet");
  const int64_t keys = w.dims(k)[a.k_transposed ? 3 : 2];
  const Dims shape = {w.dims(q)[0], w.dims(q)[1], w.dims(q)[2], keys};
  const auto scores_like = [&] { return w.temporary(DType::kF32, shape); };
  TensorId scores = scores_like();
  LATHE_CHECK(product(w, q, k, false, !a.k_transposed, scores));
  if (a.scale != 1) scores = binary(w, Builtin::kMul, scores, w.scalar(DType::kF32, a.scale), scores_like());
  if (has(n, 3)) scores = binary(w, Builtin::kAdd, scores, w.tensor(n.inputs[3]), scores_like());
  const TensorId shares = scores_like();
  LATHE_CHECK(softmax_along_last(w, scores, false, shares));
  if (!a.heads_last) return product(w, shares, v, false, false, out);
  const TensorId y = w.temporary(DType::kF32, {shape[0], shape[1], shape[2], w.dims(v)[3]});
  LATHE_CHECK(product(w, shares, v, false, false, y));
  w.transpose(y, order, out);
  return {};
}

Status reshape(Writer& w, const Node& n, TensorId out) {
  w.reshape(w.tensor(n.inputs[0]), w.dims(out), out);
  return {};
}

Status transpose(Writer& w, const Node& n, TensorId out) {
  w.transpose(w.tensor(n.inputs[0]), as<ops::Transpose>(n).perm, out);
  return {};
}

Status concat(Writer& w, const Node& n, TensorId out) {
  std::vector<TensorId> parts;
  for (const ValueId v : n.inputs) parts.push_back(w.tensor(v));
  w.add(Builtin::kConcatenation, parts, out,
        fb::CreateConcatenationOptions(w.b, static_cast<int32_t>(as<ops::Concat>(n).axis)));
  return {};
}

Status expand(Writer& w, const Node& n, TensorId out) {
  w.add(Builtin::kBroadcastTo, {w.tensor(n.inputs[0]), w.i32s(w.dims(out))}, out);
  return {};
}

Status tile(Writer& w, const Node& n, TensorId out) {
  LATHE_TRY(const Dims repeats, integers(w, n, 1, "the repeats"));
  w.add(Builtin::kTile, {w.tensor(n.inputs[0]), w.i32s(repeats)}, out);
  return {};
}

// Indices from the end count from the start where they are constant.
Status gather(Writer& w, const Node& n, TensorId out) {
  const auto& o = as<ops::Gather>(n);
  TensorId indices = kAbsent;
  if (const Tensor* t = constant_of(w, n, 1)) {
    const int64_t size = w.dims_of(n.inputs[0])[static_cast<size_t>(o.axis)];
    Tensor positive = Tensor::zeros(DType::kI32, t->dims());
    for (int64_t i = 0; i < t->count(); ++i) positive.set_i64(i, t->i64_at(i) + (t->i64_at(i) < 0 ? size : 0));
    indices = w.constant(positive);
  } else {
    indices = w.tensor(n.inputs[1]);
  }
  w.add(Builtin::kGather, {w.tensor(n.inputs[0]), indices}, out,
        fb::CreateGatherOptions(w.b, static_cast<int32_t>(o.axis)));
  return {};
}

Status slice(Writer& w, const Node& n, TensorId out) {
  const Dims in = w.dims_of(n.inputs[0]);
  const size_t rank = in.size();
  LATHE_TRY(const Dims starts, integers(w, n, 1, "the starts"));
  Dims axes(starts.size()), steps(starts.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (has(n, 3)) {
    LATHE_TRY(axes, integers(w, n, 3, "the axes"));
  }
  if (has(n, 4)) {
    LATHE_TRY(steps, integers(w, n, 4, "the steps"));
  }
  Dims begin(rank, 0), end(in), stride(rank, 1);
  int32_t end_mask = 0;
  for (size_t k = 0; k < axes.size(); ++k) {
    const auto d = static_cast<size_t>(axes[k] < 0 ? axes[k] + static_cast<int64_t>(rank) : axes[k]);
    int64_t first = starts[k] < 0 ? starts[k] + in[d] : starts[k];
    first = std::clamp<int64_t>(first, 0, steps[k] < 0 ? in[d] - 1 : in[d]);
    begin[d] = first;
    stride[d] = steps[k];
    end[d] = first + w.dims(out)[d] * steps[k];  // the result's size says where it ends
    if (end[d] < 0 || end[d] > in[d]) end_mask |= 1 << d;
  }
  for (size_t d = 0; d < rank; ++d)
    if ((end_mask >> d) & 1) end[d] = 0;
  w.add(Builtin::kStridedSlice, {w.tensor(n.inputs[0]), w.i32s(begin), w.i32s(end), w.i32s(stride)}, out,
        fb::CreateStridedSliceOptions(w.b, 0, end_mask));
  return {};
}

Status pad(Writer& w, const Node& n, TensorId out) {
  const auto& p = as<ops::Pad>(n);
  LATHE_TRY(const Dims pads, integers(w, n, 1, "the padding"));
  const auto rank = static_cast<int64_t>(pads.size() / 2);
  Dims flat;
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d)
    flat.insert(flat.end(), {pads[d], pads[d + static_cast<size_t>(rank)]});
  if (std::ranges::any_of(flat, [](int64_t v) { return v < 0; })) return unsupported("padding that crops");
  const TensorId table = w.reshape(w.i32s(flat), {rank, 2});
  const TensorId x = w.tensor(n.inputs[0]);
  if (p.mode == "reflect") {
    w.add(Builtin::kMirrorPad, {x, table}, out, fb::CreateMirrorPadOptions(w.b, fb::MirrorMode::REFLECT));
    return {};
  }
  if (p.mode != "constant") return unsupported("padding of mode " + p.mode);
  if (!has(n, 2))
    w.add(Builtin::kPad, {x, table}, out);
  else
    w.add(Builtin::kPadV2, {x, table, w.reshape(w.tensor(n.inputs[2]), {})}, out);
  return {};
}

Status resize(Writer& w, const Node& n, TensorId out) {
  const auto& r = as<ops::Resize>(n);
  LATHE_CHECK(floats_only(w, n));
  const Dims in = w.dims_of(n.inputs[0]), to = w.dims(out);
  if (n.inputs.size() > 1 || in.size() != 4 || in[0] != to[0] || in[3] != to[3] || !r.roi.empty())
    return unsupported("resizing other than of images by constant sizes");
  if (r.antialias || (r.mode != "linear" && r.mode != "nearest")) return unsupported("resizing by " + r.mode);
  for (size_t d = 0; d < r.scales.size(); ++d)
    if (const double exact = static_cast<double>(to[d]) / static_cast<double>(in[d]);
        std::abs(r.scales[d] - exact) > 1e-6 * exact)
      return unsupported("a scale that is not the ratio of the sizes");
  const bool corners = r.coordinate == "align_corners", half = r.coordinate == "half_pixel",
             plain = r.coordinate == "asymmetric";
  const std::vector<TensorId> inputs = {w.tensor(n.inputs[0]), w.i32s({to[1], to[2]})};
  if (r.mode == "linear" && (corners || half || plain)) {
    w.add(Builtin::kResizeBilinear, inputs, out, fb::CreateResizeBilinearOptions(w.b, corners, half));
    return {};
  }
  // LiteRT's rounding: down, with half_pixel of the centre, with corners to the nearest.
  const bool same = (plain && r.nearest_mode == "floor") || (corners && r.nearest_mode == "round_prefer_ceil") ||
                    (half && r.nearest_mode == "round_prefer_ceil");
  if (r.mode != "nearest" || !same) return unsupported("resizing by " + r.coordinate + ", " + r.nearest_mode);
  w.add(Builtin::kResizeNearest, inputs, out, fb::CreateResizeNearestNeighborOptions(w.b, corners, half));
  return {};
}

struct Row {
  std::string_view op;
  NodeWriter write;
};
constexpr Row kRows[] = {
    {"ArgReduce", arg_reduce},
    {"Attention", attention},
    {"Concat", concat},
    {"Conv", conv},
    {"ConvTranspose", conv_transpose},
    {"Expand", expand},
    {"Gather", gather},
    {"Gelu", gelu},
    {"HardSwish", hard_swish},
    {"LayerNorm", layer_norm},
    {"LeakyRelu", leaky_relu},
    {"MatMul", matmul},
    {"Pad", pad},
    {"Pool", pool},
    {"Reduce", reduce},
    {"Relu", relu},
    {"Reshape", reshape},
    {"Resize", resize},
    {"Slice", slice},
    {"Softmax", softmax},
    {"Tile", tile},
    {"Transpose", transpose},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::op));

}  // namespace

NodeWriter find_writer(const Node& n) {
  const auto* const it = std::ranges::lower_bound(kRows, n.op->name(), {}, &Row::op);
  return it != std::end(kRows) && it->op == n.op->name() ? it->write : nullptr;
}

}  // namespace lathe::tflite
