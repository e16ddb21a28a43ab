// SPDX-License-Identifier: Apache-2.0
// With FP32 arithmetic a model in half precision is computed in f32: f16 and bf16 values are widened once, where they
// enter, and narrowed once, where they leave. Intermediate results then keep more bits than the model asked for.
//
//     x:f16 → Conv:f16 → Relu:f16 → y:f16     ⇒     x:f16 → Cast → Conv:f32 → Relu:f32 → Cast → y:f16
#include "ops/bit_cast.h"
#include "ops/cast.h"
#include "ops/custom.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

bool half(DType t) { return t == DType::kF16 || t == DType::kBF16; }

std::shared_ptr<const Op> cast_to(DType t) {
  auto op = std::make_shared<ops::Cast>();
  op->to = t;
  return op;
}

Status widen_results(Graph& g, NodeId n) {
  const std::vector<ValueId> outputs = g.node(n).outputs;
  for (const ValueId v : outputs) {
    const std::vector<NodeId> users = g.value(v).users;
    if (!half(g.value(v).dtype) || users.empty()) continue;
    LATHE_TRY(const ValueId wide, g.add(cast_to(DType::kF32), {v}, g.node(n).name));
    for (const NodeId u : users)
      for (size_t slot = 0; slot < g.node(u).inputs.size(); ++slot)
        if (g.node(u).inputs[slot] == v) g.set_input(u, slot, wide);
  }
  return {};
}

}  // namespace

Result<int> widen_half(Graph& g, const PassOptions&) {
  int changes = 0;
  std::vector<DType> types, output_types;
  for (size_t i = 0; i < g.value_count(); ++i) types.push_back(g.value(static_cast<ValueId>(i)).dtype);
  for (const ValueId v : g.outputs) output_types.push_back(g.value(v).dtype);
  for (size_t i = 0; i < g.value_count(); ++i) {
    Value& v = g.value(static_cast<ValueId>(i));
    if (!v.constant || !half(v.dtype)) continue;
    const std::vector<float> wide = v.constant->to_f32();
    v.constant = Tensor::of<float>(DType::kF32, v.constant->dims(), wide);
    v.dtype = DType::kF32;
    ++changes;
  }
  for (const ValueId in : g.inputs) {
    if (!half(g.value(in).dtype)) continue;
    const std::vector<NodeId> users = g.value(in).users;
    if (users.empty()) continue;
    LATHE_TRY(const ValueId wide, g.add(cast_to(DType::kF32), {in}, g.value(in).name));
    for (const NodeId u : users)
      for (size_t slot = 0; slot < g.node(u).inputs.size(); ++slot)
        if (g.node(u).inputs[slot] == in) g.set_input(u, slot, wide);
    ++changes;
  }
  bool any = changes > 0;
  for (const NodeId n : g.order()) {
    if (const auto* cast = g.node(n).as<ops::Cast>(); cast && half(cast->to)) {
      g.node(n).op = cast_to(DType::kF32);
      ++changes;
      any = true;
    }
    // A graph that a node holds keeps its types outside and is widened by itself.
    for (const SubGraph& s : g.node(n).op->subgraphs()) {
      for (size_t i = 0; i < s.graph->inputs.size(); ++i) {
        const ValueId v = g.node(n).inputs[s.first + i];
        const DType wanted = s.graph->value(s.graph->inputs[i]).dtype;
        if (v == kNoId || g.value(v).dtype == wanted || !half(wanted)) continue;
        LATHE_TRY(const ValueId narrow, g.add(cast_to(wanted), {v}, g.node(n).name));
        g.set_input(n, s.first + i, narrow);
      }
    }
    const bool custom = g.node(n).as<ops::Custom>() != nullptr;
    for (size_t slot = 0; custom && slot < g.node(n).inputs.size(); ++slot) {  // it is written for the model's types
      const ValueId v = g.node(n).inputs[slot];
      if (v == kNoId) continue;
      const ValueId source = static_cast<size_t>(v) < types.size() ? v : g.node(g.value(v).producer).inputs[0];
      const DType wanted = types[static_cast<size_t>(source)];
      if (!half(wanted) || g.value(v).dtype == wanted) continue;
      LATHE_TRY(const ValueId narrow, g.add(cast_to(wanted), {v}, g.node(n).name));
      g.set_input(n, slot, narrow);
    }
    const auto* bits = g.node(n).as<ops::BitCast>();
    const bool makes_half = bits && half(bits->to);
    if (const ValueId in = g.node(n).inputs.empty() ? kNoId : g.node(n).inputs[0]; bits && in != kNoId) {
      // The bits are those of the model's type, not of the one it is computed in.
      const auto* widened = g.value(in).producer == kNoId ? nullptr : g.node(g.value(in).producer).as<ops::Cast>();
      const ValueId source =
          widened && static_cast<size_t>(in) >= types.size() ? g.node(g.value(in).producer).inputs[0] : in;
      auto op = std::make_shared<ops::BitCast>(*bits);
      if (half(types[static_cast<size_t>(source)])) op->from = types[static_cast<size_t>(source)];
      g.node(n).op = std::move(op);
    }
    if (any) LATHE_CHECK(g.reinfer(n));
    if (makes_half || custom || !g.node(n).op->subgraphs().empty()) LATHE_CHECK(widen_results(g, n));
    any |= makes_half;
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    if (g.value(g.outputs[i]).dtype == output_types[i]) continue;
    LATHE_TRY(g.outputs[i], g.add(cast_to(output_types[i]), {g.outputs[i]}, g.value(g.outputs[i]).name));
    ++changes;
  }
  return changes;
}

}  // namespace lathe::passes
