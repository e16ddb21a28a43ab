// SPDX-License-Identifier: Apache-2.0
// Canonical operators that are not elementwise, and the table of those that ONNX has under the same name.
#include <algorithm>
#include <array>

#include "export/onnx/writer.h"
#include "ir/attr_visitor.h"
#include "ops/arg_reduce.h"
#include "ops/attention.h"
#include "ops/cast.h"
#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/dequantize.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/quantize.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "ops/resize.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/transpose.h"

namespace lathe::onnx {

namespace {

using Names = std::vector<std::string>;

std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }

Names inputs_of(Writer& w, const Node& n) {
  Names names;
  for (const ValueId v : n.inputs) names.push_back(w.name(v));
  return names;
}
const Shape& shape_of(const Writer& w, ValueId v) { return w.g.value(v).shape; }

Status same(Writer& w, const Node& n, const Names& results) {
  w.add_all(n.op->name(), inputs_of(w, n), results, Attributes::of(*n.op, "saturate"));
  return {};
}

template <class T>
const T& as(const Node& n) {
  return *n.as<T>();
}

// Opset 21 has no round_mode: it came with the type that it is for.
Status cast(Writer& w, const Node& n, const Names& results) {
  const auto& op = as<ops::Cast>(n);
  if (op.round_mode != "up")
    return fail(Code::kUnsupported, "ONNX opset 21 has no Cast with round_mode \"" + op.round_mode + '"');
  w.add("Cast", inputs_of(w, n), Attributes().i("to", static_cast<int64_t>(op.to)).i("saturate", op.saturate),
        results[0]);
  return {};
}

Result<Tensor> permuted(const Tensor& x, std::vector<int64_t> perm) {
  ops::Transpose t;
  t.perm = std::move(perm);
  LATHE_TRY(auto y, t.evaluate({&x, 1}));
  return std::move(y[0]);
}

// The weight with its dimensions permuted: at once where it is constant, quantized or not.
Result<std::string> weight(Writer& w, ValueId v, const std::vector<int64_t>& perm) {
  const Value& value = w.g.value(v);
  if (const Node* d = quantized_constant(w.g, v)) {
    const auto axis = quantization_axis(w.g, *d);
    LATHE_TRY(const Tensor t, permuted(*w.g.value(d->inputs[0]).constant, perm));
    const std::string own = w.g.value(d->inputs[0]).name;
    const std::string x = w.initializer(t, own[0] == '%' ? std::string() : own);
    const auto moved = *axis < 0 ? *axis : std::ranges::find(perm, *axis) - perm.begin();
    return write_quantization(w, *d, x, moved, {});
  }
  if (!value.constant) return w.add("Transpose", {w.name(v)}, Attributes().ints("perm", perm));
  LATHE_TRY(const Tensor t, permuted(*value.constant, perm));
  return w.initializer(t, value.name[0] == '%' ? std::string() : value.name);
}

std::string zero_point(Writer& w, DType dtype, int64_t v) {
  Tensor t = Tensor::zeros(dtype, {});
  t.set_i64(0, v);
  return w.initializer(t);
}

Status conv(Writer& w, const Node& n, const Names& results) {
  const auto& c = as<ops::Conv>(n);
  const DType type = w.g.value(n.inputs[0]).dtype;
  const bool floats = dtype_info(type).is_float;
  if (!floats && dtype_bits(type) != 8) return unsupported("convolutions of 16-bit integers");
  if (shape_of(w, n.inputs[0]).size() != 4) return unsupported("convolutions over other than two dimensions");
  std::string x = w.first(n.inputs[0]);
  auto pads = c.pads;
  if (std::ranges::any_of(pads, [](int64_t p) { return p < 0; })) {
    std::vector<int64_t> crop = {0, 0, 0, 0, 0, 0, 0, 0};
    for (size_t d = 0; d < 2; ++d) {
      crop[2 + d] = std::min<int64_t>(pads[d], 0);
      crop[6 + d] = std::min<int64_t>(pads[2 + d], 0);
    }
    x = w.add("Pad", {x, w.i64s(crop)});
    for (int64_t& p : pads) p = std::max<int64_t>(p, 0);
  }
  LATHE_TRY(const std::string filter, weight(w, n.inputs[1], {0, 3, 1, 2}));
  const auto attributes =
      Attributes().ints("strides", c.strides).ints("pads", pads).ints("dilations", c.dilations).i("group", c.group);
  const bool biased = n.inputs.size() > 2 && n.inputs[2] != kNoId;
  if (floats) {
    w.add("Conv", {x, filter, biased ? w.name(n.inputs[2]) : ""}, attributes, results[0]);
    return {};
  }
  const Names operands = {x, filter, zero_point(w, type, c.x_zero),
                          zero_point(w, w.g.value(n.inputs[1]).dtype, c.w_zero)};
  if (!biased) {
    w.add("ConvInteger", operands, attributes, results[0]);
    return {};
  }
  const std::string column = w.add("Reshape", {w.name(n.inputs[2]), w.i64s({-1, 1, 1})});
  w.add("Add", {w.add("ConvInteger", operands, attributes), column}, {}, results[0]);
  return {};
}

// The weight [M, h, w, C / group] becomes [C, M / group, h, w].
Status conv_transpose(Writer& w, const Node& n, const Names& results) {
  const auto& c = as<ops::ConvTranspose>(n);
  if (!dtype_info(w.g.value(n.inputs[0]).dtype).is_float) return unsupported("integer transposed convolutions");
  std::string filter;
  if (c.group == 1) {
    LATHE_TRY(filter, weight(w, n.inputs[1], {3, 0, 1, 2}));
  } else {
    const Value& value = w.g.value(n.inputs[1]);
    if (!value.constant) return unsupported("grouped transposed convolutions need constant weights");
    const auto d = value.constant->dims();
    LATHE_TRY(const Tensor t,
              permuted(value.constant->reshaped({c.group, d[0] / c.group, d[1], d[2], d[3]}), {0, 4, 1, 2, 3}));
    filter = w.initializer(t.reshaped({c.group * d[3], d[0] / c.group, d[1], d[2]}));
  }
  const bool biased = n.inputs.size() > 2 && n.inputs[2] != kNoId;
  w.add("ConvTranspose", {w.first(n.inputs[0]), filter, biased ? w.name(n.inputs[2]) : ""},
        Attributes()
            .ints("strides", c.strides)
            .ints("pads", c.pads)
            .ints("dilations", c.dilations)
            .ints("output_padding", c.output_padding)
            .i("group", c.group),
        results[0]);
  return {};
}

Status pool(Writer& w, const Node& n, const Names& results) {
  const auto& p = as<ops::Pool>(n);
  const bool max = p.kind == "max";
  if (!max && !dtype_info(w.g.value(n.inputs[0]).dtype).is_float) return unsupported("averages of integers");
  auto attributes = Attributes()
                        .ints("kernel_shape", p.kernel)
                        .ints("strides", p.strides)
                        .ints("pads", p.pads)
                        .ints("dilations", p.dilations)
                        .i("ceil_mode", p.ceil_mode);
  if (!max) attributes.i("count_include_pad", p.count_include_pad);
  w.add(max ? "MaxPool" : "AveragePool", {w.first(n.inputs[0])}, attributes, results[0]);
  return {};
}

std::string swapped(Writer& w, const std::string& x, size_t rank) {
  std::vector<int64_t> perm;
  for (size_t d = 0; d < rank; ++d) perm.push_back(static_cast<int64_t>(d));
  std::swap(perm[rank - 1], perm[rank - 2]);
  return w.add("Transpose", {x}, Attributes().ints("perm", perm));
}

Status matmul(Writer& w, const Node& n, const Names& results) {
  const auto& m = as<ops::MatMul>(n);
  std::string a = w.name(n.inputs[0]), b = w.name(n.inputs[1]);
  const DType ta = w.g.value(n.inputs[0]).dtype, tb = w.g.value(n.inputs[1]).dtype;
  const size_t ra = shape_of(w, n.inputs[0]).size(), rb = shape_of(w, n.inputs[1]).size();
  const bool floats = dtype_info(ta).is_float;
  if (floats && (m.trans_a || m.trans_b) && ra == 2 && rb == 2) {
    w.add("Gemm", {a, b}, Attributes().i("transA", m.trans_a).i("transB", m.trans_b), results[0]);
    return {};
  }
  if (m.trans_a) a = swapped(w, a, ra);
  if (m.trans_b) b = swapped(w, b, rb);
  if (floats || dtype_bits(ta) >= 32) {
    w.add("MatMul", {a, b}, {}, results[0]);
    return {};
  }
  if (dtype_bits(ta) != 8 || dtype_bits(tb) != 8) return unsupported("products of 16-bit integers");
  w.add("MatMulInteger", {a, b, zero_point(w, ta, m.a_zero), zero_point(w, tb, m.b_zero)}, {}, results[0]);
  return {};
}

Status reduce(Writer& w, const Node& n, const Names& results) {
  const auto& r = as<ops::Reduce>(n);
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"sum", "ReduceSum"},        {"mean", "ReduceMean"},
      {"max", "ReduceMax"},        {"min", "ReduceMin"},
      {"prod", "ReduceProd"},      {"sum_square", "ReduceSumSquare"},
      {"l1", "ReduceL1"},          {"l2", "ReduceL2"},
      {"log_sum", "ReduceLogSum"}, {"log_sum_exp", "ReduceLogSumExp"}};
  const auto* const found = std::ranges::find(kNames, r.kind, [](const auto& p) { return p.first; });
  if (found == std::end(kNames)) return unsupported("reduction " + r.kind);
  auto attributes = Attributes().i("keepdims", r.keepdims);
  if (r.axes.empty()) attributes.i("noop_with_empty_axes", 1);
  // Sums over an image that is there channels first need no transpose.
  if (!r.keepdims && r.axes == std::vector<int64_t>{1, 2} && w.has_first(n.inputs[0])) {
    w.add(found->second, {w.first(n.inputs[0]), w.i64s({2, 3})}, attributes, results[0]);
    return {};
  }
  w.add(found->second, {w.name(n.inputs[0]), w.i64s(r.axes)}, attributes, results[0]);
  return {};
}

Status arg_reduce(Writer& w, const Node& n, const Names& results) {
  const auto& r = as<ops::ArgReduce>(n);
  w.add(r.kind == "max" ? "ArgMax" : "ArgMin", inputs_of(w, n),
        Attributes().i("axis", r.axis).i("keepdims", r.keepdims).i("select_last_index", r.select_last), results[0]);
  return {};
}

Status softmax(Writer& w, const Node& n, const Names& results) {
  const auto& s = as<ops::Softmax>(n);
  w.add(s.log ? "LogSoftmax" : "Softmax", inputs_of(w, n), Attributes().i("axis", s.axis), results[0]);
  return {};
}

// Of rms (an operator of ONNX from opset 23 on) the formula.
Status layer_norm(Writer& w, const Node& n, const Names& results) {
  const auto& l = as<ops::LayerNorm>(n);
  const Names in = inputs_of(w, n);
  const DType type = w.g.value(n.inputs[0]).dtype;
  const Shape& s = shape_of(w, n.inputs[0]);
  const bool scaled = in.size() > 1 && !in[1].empty(), biased = in.size() > 2 && !in[2].empty();
  if (!l.rms) {
    std::string scale = scaled ? in[1] : std::string();
    if (!scaled) {
      const auto dims = static_dims(Shape(s.begin() + l.axis, s.end()));
      if (!dims) return unsupported("a normalisation without scale over sizes that are not constant");
      Tensor ones = Tensor::zeros(type, *dims);
      for (int64_t i = 0; i < ones.count(); ++i) ones.set(i, 1);
      scale = w.initializer(ones);
    }
    w.add("LayerNormalization", {in[0], scale, biased ? in[2] : ""},
          Attributes().i("axis", l.axis).f("epsilon", l.epsilon), results[0]);
    return {};
  }
  std::vector<int64_t> axes;
  for (int64_t d = l.axis; d < static_cast<int64_t>(s.size()); ++d) axes.push_back(d);
  const std::string mean = w.add("ReduceMean", {w.add("Mul", {in[0], in[0]}), w.i64s(axes)});
  const std::string root = w.add("Sqrt", {w.add("Add", {mean, w.scalar(type, l.epsilon)})});
  std::string y = w.add("Div", {in[0], root}, {}, scaled || biased ? "" : results[0]);
  if (scaled) y = w.add("Mul", {y, in[1]}, {}, biased ? "" : results[0]);
  if (biased) w.add("Add", {y, in[2]}, {}, results[0]);
  return {};
}

// softmax(q k^T * scale + mask) v, as it was written before it was recognised.
Status attention(Writer& w, const Node& n, const Names& results) {
  const auto& a = as<ops::Attention>(n);
  const DType type = w.g.value(n.inputs[0]).dtype;
  const Shape &qs = shape_of(w, n.inputs[0]), &ks = shape_of(w, n.inputs[1]), &vs = shape_of(w, n.inputs[2]);
  const size_t head = a.heads_last ? 2 : 1, position = a.heads_last ? 1 : 2;
  const Dim keys = a.k_transposed ? ks[3] : ks[position];
  const auto order = [&](ValueId v, std::vector<int64_t> perm) {
    const std::string x = w.name(v);
    return perm == std::vector<int64_t>{0, 1, 2, 3} ? x : w.add("Transpose", {x}, Attributes().ints("perm", perm));
  };
  std::string q =
      order(n.inputs[0], a.heads_last ? std::vector<int64_t>{0, 2, 1, 3} : std::vector<int64_t>{0, 1, 2, 3});
  std::string k = order(n.inputs[1], a.heads_last     ? std::vector<int64_t>{0, 2, 3, 1}
                                     : a.k_transposed ? std::vector<int64_t>{0, 1, 2, 3}
                                                      : std::vector<int64_t>{0, 1, 3, 2});
  std::string v =
      order(n.inputs[2], a.heads_last ? std::vector<int64_t>{0, 2, 1, 3} : std::vector<int64_t>{0, 1, 2, 3});
  if (!(qs[head] == ks[head])) {  // several queries share a key: repeat the keys
    const auto h = qs[head].as_const(), hk = ks[head].as_const();
    const auto width = qs[3].as_const(), depth = vs[3].as_const();
    if (!h || !hk || !width || !depth) return unsupported("grouped queries of unknown sizes");
    const auto repeat = [&](const std::string& x, int64_t rows, int64_t columns) {
      const std::string one = w.add("Unsqueeze", {x, w.i64s({2})});
      return w.add("Reshape", {w.add("Tile", {one, w.i64s({1, 1, *h / *hk, 1, 1})}), w.i64s({0, *h, rows, columns})});
    };
    k = repeat(k, *width, keys.as_const().value_or(-1));
    v = repeat(v, keys.as_const().value_or(-1), *depth);
  }
  std::string scores = w.add("MatMul", {q, k});
  if (a.scale != 1) scores = w.add("Mul", {scores, w.scalar(type, a.scale)});
  if (n.inputs.size() > 3 && n.inputs[3] != kNoId) scores = w.add("Add", {scores, w.name(n.inputs[3])});
  if (a.causal) {
    const auto rows = qs[position].as_const(), columns = keys.as_const();
    if (!rows || !columns) return unsupported("causal attention over sizes that are not constant");
    Tensor mask = Tensor::zeros(type, {*rows, *columns});
    for (int64_t i = 0; i < *rows; ++i)
      for (int64_t j = 0; j < *columns; ++j)
        if (j > i + *columns - *rows) mask.set(i * *columns + j, -1e30);
    scores = w.add("Add", {scores, w.initializer(mask)});
  }
  const std::string shares = w.add("Softmax", {scores}, Attributes().i("axis", 3));
  if (!a.heads_last) {
    w.add("MatMul", {shares, v}, {}, results[0]);
    return {};
  }
  w.add("Transpose", {w.add("MatMul", {shares, v})}, Attributes().ints("perm", {0, 2, 1, 3}), results[0]);
  return {};
}

Status resize(Writer& w, const Node& n, const Names& results) {
  const auto& r = as<ops::Resize>(n);
  const Shape& s = shape_of(w, n.inputs[0]);
  const auto attributes = Attributes()
                              .s("mode", r.mode)
                              .s("coordinate_transformation_mode", r.coordinate)
                              .s("nearest_mode", r.nearest_mode)
                              .f("cubic_coeff_a", r.cubic_coeff_a)
                              .i("exclude_outside", r.exclude_outside)
                              .f("extrapolation_value", r.extrapolation)
                              .i("antialias", r.antialias);
  const auto floats = [&](const std::vector<double>& v) {
    Tensor t = Tensor::zeros(DType::kF32, {static_cast<int64_t>(v.size())});
    for (size_t i = 0; i < v.size(); ++i) t.set(static_cast<int64_t>(i), v[i]);
    return w.initializer(t);
  };
  // Images are resized channels first, which is how runtimes know them.
  const auto scale_of = [&](size_t d) { return r.scales.empty() ? 0.0 : r.scales[d]; };
  const bool channels_kept =
      s.size() == 4 && r.roi.empty() &&
      (r.sizes.empty() ? scale_of(3) == 1 : s[3].equals(r.sizes[3]) && (r.scales.empty() || scale_of(3) == 1));
  const auto moved = [&](auto v) {
    if (channels_kept && v.size() == 4) std::rotate(v.begin() + 1, v.begin() + 3, v.end());
    return v;
  };
  const std::string x = channels_kept ? w.first(n.inputs[0]) : w.name(n.inputs[0]);
  const std::string roi = r.roi.empty() ? std::string() : floats(r.roi);
  Names inputs = {x, roi};
  if (r.sizes.empty())
    inputs.push_back(floats(moved(r.scales)));
  else
    inputs.insert(inputs.end(), {"", w.i64s(moved(r.sizes))});
  if (!channels_kept) {
    w.add("Resize", inputs, attributes, results[0]);
    return {};
  }
  w.add("Transpose", {w.add("Resize", inputs, attributes)}, Attributes().ints("perm", {0, 2, 3, 1}), results[0]);
  return {};
}

Status reshape(Writer& w, const Node& n, const Names& results) {
  w.add("Reshape", inputs_of(w, n), Attributes().i("allowzero", as<ops::Reshape>(n).allow_zero), results[0]);
  return {};
}

Status shape(Writer& w, const Node& n, const Names& results) {
  const auto& s = as<ops::ShapeOf>(n);
  auto attributes = Attributes().i("start", s.start);
  if (s.end != INT64_MAX) attributes.i("end", s.end);
  w.add("Shape", inputs_of(w, n), attributes, results[0]);
  return {};
}

Status top_k(Writer& w, const Node& n, const Names& results) {
  Names in = inputs_of(w, n);
  if (shape_of(w, n.inputs[1]).empty()) in[1] = w.add("Reshape", {in[1], w.i64s({1})});
  w.add_all("TopK", in, results, Attributes::of(*n.op));
  return {};
}

// Lstm, Gru, Rnn: an absent clip is 0 here.
Status recurrent(Writer& w, const Node& n, const Names& results) {
  const double clip = attribute<double>(*n.op, "clip").value_or(0),
               cell_clip = attribute<double>(*n.op, "cell_clip").value_or(0);
  if (cell_clip != 0)
    return unsupported("ONNX's LSTM cannot limit its cells, as this one does to " + std::to_string(cell_clip));
  std::string op(n.op->name());
  std::ranges::transform(op, op.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  w.add_all(op, inputs_of(w, n), results, Attributes::of(*n.op, clip == 0 ? "clip cell_clip" : "cell_clip"));
  return {};
}

// By one scale, or one for each index of a dimension; else step by step.
Status quantization(Writer& w, const Node& n, const Names& results) {
  if (const auto axis = quantization_axis(w.g, n)) {
    write_quantization(w, n, w.name(n.inputs[0]), *axis, results[0]);
    return {};
  }
  std::vector<DType> types;
  for (const ValueId v : n.inputs) types.push_back(v == kNoId ? DType::kUndefined : w.g.value(v).dtype);
  LATHE_TRY(const std::string ignored, w.program(*n.op->program(types), inputs_of(w, n), results[0]));
  return {};
}

struct Row {
  std::string_view op;
  NodeWriter write;
};

// Sorted. Elementwise operators that are not here are written by their programs.
constexpr Row kRows[] = {
    {"Abs", same},
    {"Acos", same},
    {"Acosh", same},
    {"Add", same},
    {"And", same},
    {"ArgReduce", arg_reduce},
    {"Asin", same},
    {"Asinh", same},
    {"Atan", same},
    {"Atanh", same},
    {"Attention", attention},
    {"BitShift", same},
    {"BitwiseAnd", same},
    {"BitwiseNot", same},
    {"BitwiseOr", same},
    {"BitwiseXor", same},
    {"Cast", cast},
    {"Ceil", same},
    {"Celu", same},
    {"Concat", same},
    {"Conv", conv},
    {"ConvTranspose", conv_transpose},
    {"Cos", same},
    {"Cosh", same},
    {"CumSum", same},
    {"Dequantize", quantization},
    {"Div", same},
    {"Elu", same},
    {"Equal", same},
    {"Erf", same},
    {"Exp", same},
    {"Expand", same},
    {"Floor", same},
    {"Gather", same},
    {"GatherElements", same},
    {"GatherND", same},
    {"Gelu", same},
    {"Greater", same},
    {"GreaterOrEqual", same},
    {"Gru", recurrent},
    {"HardSigmoid", same},
    {"HardSwish", same},
    {"IsNaN", same},
    {"LayerNorm", layer_norm},
    {"LeakyRelu", same},
    {"Less", same},
    {"LessOrEqual", same},
    {"Log", same},
    {"Lstm", recurrent},
    {"MatMul", matmul},
    {"Max", same},
    {"Mean", same},
    {"Min", same},
    {"Mish", same},
    {"Mul", same},
    {"Neg", same},
    {"NonMaxSuppression", same},
    {"NonZero", same},
    {"Not", same},
    {"OneHot", same},
    {"Or", same},
    {"Pad", same},
    {"Pool", pool},
    {"Pow", same},
    {"Quantize", quantization},
    {"Range", same},
    {"Reciprocal", same},
    {"Reduce", reduce},
    {"Relu", same},
    {"Reshape", reshape},
    {"Resize", resize},
    {"Rnn", recurrent},
    {"Round", same},
    {"ScatterElements", same},
    {"ScatterND", same},
    {"Selu", same},
    {"Shape", shape},
    {"Shrink", same},
    {"Sigmoid", same},
    {"Sign", same},
    {"Sin", same},
    {"Sinh", same},
    {"Size", same},
    {"Slice", same},
    {"Softmax", softmax},
    {"Softplus", same},
    {"Softsign", same},
    {"Sqrt", same},
    {"Sub", same},
    {"Sum", same},
    {"Tan", same},
    {"Tanh", same},
    {"ThresholdedRelu", same},
    {"Tile", same},
    {"TopK", top_k},
    {"Transpose", same},
    {"Trilu", same},
    {"Where", same},
    {"Xor", same},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::op));

}  // namespace

NodeWriter find_writer(const Op& op) {
  const auto* const it = std::ranges::lower_bound(kRows, op.name(), {}, &Row::op);
  return it != std::end(kRows) && it->op == op.name() ? it->write : nullptr;
}

bool writes_first(const Op& op) { return op.name() == "Conv" || op.name() == "ConvTranspose" || op.name() == "Pool"; }

}  // namespace lathe::onnx
