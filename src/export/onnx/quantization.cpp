// SPDX-License-Identifier: Apache-2.0
// Quantize and Dequantize as ONNX writes them: one scale, or a vector along an axis.
#include "export/onnx/writer.h"
#include "ops/dequantize.h"
#include "ops/quantize.h"

namespace lathe::onnx {

namespace {

bool has_type(DType t, bool dequantize) {
  switch (t) {
    case DType::kI8:
    case DType::kU8:
    case DType::kI16:
    case DType::kU16:
    case DType::kI4:
    case DType::kU4:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
      return true;
    case DType::kI32:
      return dequantize;
    default:
      return false;
  }
}

// The dimension of a value of `rank` along which a parameter of this shape differs; -1: it is one number.
std::optional<int64_t> axis_of(const Shape& shape, size_t rank) {
  if (shape.size() > rank) return std::nullopt;
  int64_t axis = -1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d].equals(1)) continue;
    if (axis >= 0) return std::nullopt;
    axis = static_cast<int64_t>(rank - shape.size() + d);
  }
  return axis;
}

}  // namespace

std::optional<int64_t> quantization_axis(const Graph& g, const Node& n) {
  const auto* q = n.as<ops::Quantize>();
  if (!q && !n.as<ops::Dequantize>()) return std::nullopt;
  const Value &x = g.value(n.inputs[0]), &scale = g.value(n.inputs[1]);
  if (!has_type(q ? q->to : x.dtype, !q) || scale.dtype != DType::kF32 || x.dtype == DType::kF64) return std::nullopt;
  const auto axis = axis_of(scale.shape, x.shape.size());
  if (!axis) return std::nullopt;
  if (n.inputs.size() > 2 && n.inputs[2] != kNoId) {
    const Value& zero = g.value(n.inputs[2]);
    if (axis_of(zero.shape, x.shape.size()) == axis) return axis;
    // One zero point beside several scales is repeated, if it is known.
    if (!zero.constant || zero.constant->count() != 1) return std::nullopt;
  }
  return axis;
}

const Node* quantized_constant(const Graph& g, ValueId v) {
  if (v == kNoId || g.value(v).producer == kNoId) return nullptr;
  const Node& n = g.node(g.value(v).producer);
  if (!n.as<ops::Dequantize>() || !n.epilogue.empty() || !quantization_axis(g, n)) return nullptr;
  for (const ValueId in : n.inputs)
    if (in != kNoId && !g.value(in).constant) return nullptr;
  return &n;
}

std::string write_quantization(Writer& w, const Node& n, const std::string& x, int64_t axis,
                               const std::string& result) {
  const auto* q = n.as<ops::Quantize>();
  const DType type = q ? q->to : w.g.value(n.inputs[0]).dtype;
  const Value& scale = w.g.value(n.inputs[1]);
  const auto flat = [&](ValueId v) {
    const Value& value = w.g.value(v);
    const std::vector<int64_t> dims = axis < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{-1};
    if (!value.constant) return w.add("Reshape", {w.name(v), w.i64s(dims)});
    const int64_t count = value.constant->count();
    return w.initializer(value.constant->reshaped(axis < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{count}));
  };
  std::string zero;
  if (n.inputs.size() > 2 && n.inputs[2] != kNoId) {
    const Value& z = w.g.value(n.inputs[2]);
    if (axis >= 0 && z.constant && z.constant->count() == 1 && scale.constant) {
      Tensor all = Tensor::zeros(type, {scale.constant->count()});
      for (int64_t i = 0; i < all.count(); ++i) all.set_i64(i, z.constant->i64_at(0));
      zero = w.initializer(all);
    } else {
      zero = flat(n.inputs[2]);
    }
  } else if (q && axis < 0) {
    zero = w.scalar(type, 0);
  }
  Attributes attributes;
  if (axis >= 0) attributes.i("axis", axis);
  if (q && zero.empty()) attributes.i("output_dtype", static_cast<int64_t>(type));
  const std::string s = flat(n.inputs[1]);
  return w.add(q ? "QuantizeLinear" : "DequantizeLinear", {x, s, zero}, attributes, result);
}

}  // namespace lathe::onnx
