// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_only.h"

#include "ops/coded_matmul.h"
#include "ops/dequantize.h"
#include "ops/gather.h"
#include "ops/matmul.h"
#include "rewrite/edit.h"

namespace lathe::quant {

namespace {

// Less than this is neither memory nor time worth an error.
constexpr int64_t kLeastTable = 1 << 16;
constexpr int64_t kLeastSteps = 32, kLeastWeights = 1024;

}  // namespace

std::vector<CodedLayer> find_coded_layers(const Graph& graph) {
  std::vector<CodedLayer> layers;
  for (const NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    const auto* product = n.as<ops::MatMul>();
    if (!product || !n.epilogue.empty()) continue;
    const Value &a = graph.value(n.inputs[0]), &b = graph.value(n.inputs[1]);
    if (a.constant || a.dtype != DType::kF32 || !b.constant || b.dtype != DType::kF32 || b.shape.size() != 2) continue;
    CodedLayer l;
    l.node = id;
    l.input = n.inputs[0];
    l.name = n.name;
    if (l.name.empty()) l.name = graph.value(n.outputs[0]).name;
    l.columns = b.shape[product->trans_b ? 0 : 1].value();
    l.k = b.shape[product->trans_b ? 1 : 0].value();
    l.flops = n.op->flops(graph.infos(n.inputs), graph.infos(n.outputs));
    if (product->trans_a)
      l.why_not = "its activations are transposed";
    else if (l.k < kLeastSteps || l.k * l.columns < kLeastWeights)
      l.why_not = "too small to matter";
    layers.push_back(std::move(l));
  }
  return layers;
}

Tensor layer_weights(const Graph& graph, const CodedLayer& layer) {
  const Node& n = graph.node(layer.node);
  const Tensor& w = *graph.value(n.inputs[1]).constant;
  if (n.as<ops::MatMul>()->trans_b) return w;
  const std::vector<float> from = w.to_f32();
  Tensor t = Tensor::zeros(DType::kF32, {layer.columns, layer.k});
  const auto to = t.mutable_as<float>();
  constexpr int64_t kTile = 32;  // keeps both sides in the cache
  for (int64_t i0 = 0; i0 < layer.k; i0 += kTile)
    for (int64_t j = 0; j < layer.columns; ++j)
      for (int64_t i = i0, end = std::min(layer.k, i0 + kTile); i < end; ++i)
        to[static_cast<size_t>(j * layer.k + i)] = from[static_cast<size_t>(i * layer.columns + j)];
  return t;
}

Status code_layer(Graph& graph, const CodedLayer& layer, const WeightCodes& codes, int64_t block) {
  const std::string name = graph.node(layer.node).name;
  const std::string weights = graph.value(graph.node(layer.node).inputs[1]).name;
  auto op = std::make_shared<ops::CodedMatMul>();
  op->block = block > 0 ? std::min(block, layer.k) : layer.k;
  std::vector<ValueId> in = {layer.input, graph.add_constant(weights, codes.code), graph.add_constant({}, codes.scale)};
  if (!codes.zero.empty()) in.push_back(graph.add_constant({}, codes.zero));
  LATHE_TRY(ValueId y, graph.add(std::move(op), std::move(in), name));
  if (codes.multiplier != 1) {
    const ValueId by = graph.add_constant({}, Tensor::scalar_f32(codes.multiplier));
    LATHE_TRY(y, graph.add(rewrite::make_op("Mul"), {y, by}, name));
  }
  rewrite::replace_node(graph, layer.node, y);
  return {};
}

Result<std::vector<Table>> code_tables(Graph& graph) {
  std::vector<Table> tables;
  for (const NodeId id : graph.order()) {
    const auto* gather = graph.node(id).as<ops::Gather>();
    if (!gather || gather->axis != 0) continue;
    const std::vector<ValueId> in = graph.node(id).inputs;
    const Value& table = graph.value(in[0]);
    if (!table.constant || table.dtype != DType::kF32 || table.shape.size() != 2) continue;
    const int64_t rows = table.shape[0].value(), width = table.shape[1].value();
    if (rows * width < kLeastTable || width < kLeastSteps) continue;
    const WeightCodes codes = code_weights(*table.constant, {DType::kI8, 0});
    const std::string name = graph.node(id).name, values = table.name;  // both move when the graph grows
    const ValueId code = graph.add_constant(values, codes.code), scale = graph.add_constant({}, codes.scale);
    LATHE_TRY(const ValueId row, graph.add(graph.node(id).op, {code, in[1]}, name));
    LATHE_TRY(const ValueId by, graph.add(graph.node(id).op, {scale, in[1]}, name));
    LATHE_TRY(const ValueId y, graph.add(std::make_shared<ops::Dequantize>(), {row, by}, name));
    tables.push_back({id, name, codes.error});
    rewrite::replace_node(graph, id, y);
  }
  return tables;
}

}  // namespace lathe::quant
