// SPDX-License-Identifier: Apache-2.0
// Values of packed types (integers of 4 and 2 bits, f4) are moved and computed a byte each: unpacked where they enter,
// packed where they leave. Elementwise programs keep the narrow type inside, so that results are cut as the model says.
//
//     x:i4 → Transpose:i4 → Cast:f32     ⇒     x:i4 → Unpack:i8 → Transpose:i8 → Pointwise(bitcast i4, cast f32)
#include "ops/pack.h"
#include "ops/pointwise.h"
#include "ops/unpack.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

// The program of one step: reads `from` as `to`, both held in the same byte.
Program reread(DType from, DType to) {
  ProgramBuilder b;
  return b.finish(bitcast(b.input(from), to));
}

// `p` for inputs and a result that are unpacked.
Program on_bytes(Program p, std::span<const DType> inputs) {
  for (size_t i = inputs.size(); i-- > 0;) {
    if (!dtype_packed(inputs[i])) continue;
    // compose() appends the inner program's input: put it back where it was.
    p = compose(p, static_cast<int>(i), reread(ops::unpacked_type(inputs[i]), inputs[i]));
    std::vector<int> map;
    for (int k = 0; k < p.inputs - 1; ++k) map.push_back(k < static_cast<int>(i) ? k : k + 1);
    map.push_back(static_cast<int>(i));
    p = remap_inputs(p, map, p.inputs);
  }
  const DType result = p.steps[static_cast<size_t>(p.results[0])].dtype;
  return dtype_packed(result) ? compose(reread(result, ops::unpacked_type(result)), 0, p) : p;
}

}  // namespace

Result<int> widen_packed(Graph& g, const PassOptions&) {
  // What each node takes and gives, as the model has it.
  bool any = false;
  std::vector<DType> types;
  for (size_t i = 0; i < g.value_count(); ++i) {
    types.push_back(g.value(static_cast<ValueId>(i)).dtype);
    any = any || dtype_packed(types.back());
  }
  if (!any) return 0;
  const auto type_of = [&](ValueId v) { return v == kNoId ? DType::kUndefined : types[static_cast<size_t>(v)]; };
  int changes = 0;
  const std::vector<NodeId> order = g.order();
  const std::vector<ValueId> outputs = g.outputs;
  for (size_t i = 0; i < types.size(); ++i) {
    Value& v = g.value(static_cast<ValueId>(i));
    if (!v.constant || !dtype_packed(v.dtype)) continue;
    LATHE_TRY(auto wide, ops::Unpack().evaluate({&*v.constant, 1}));
    v.constant = std::move(wide[0]);
    v.dtype = v.constant->dtype();
    ++changes;
  }
  for (const ValueId in : g.inputs) {
    if (!dtype_packed(g.value(in).dtype)) continue;
    const std::vector<NodeId> users = g.value(in).users;
    if (users.empty()) continue;
    LATHE_TRY(const ValueId wide, g.add(std::make_shared<ops::Unpack>(), {in}, g.value(in).name));
    for (const NodeId u : users)
      for (size_t slot = 0; slot < g.node(u).inputs.size(); ++slot)
        if (g.node(u).inputs[slot] == in) g.set_input(u, slot, wide);
    types.resize(g.value_count(), DType::kUndefined);
    types[static_cast<size_t>(wide)] = types[static_cast<size_t>(in)];
    ++changes;
  }
  for (const NodeId id : order) {
    Node& node = g.node(id);
    std::vector<DType> inputs;
    bool packed = dtype_packed(type_of(node.outputs[0]));
    for (const ValueId v : node.inputs) {
      inputs.push_back(type_of(v));
      packed = packed || dtype_packed(inputs.back());
    }
    if (auto program = packed ? node.op->program(inputs) : std::nullopt) {
      auto op = std::make_shared<ops::Pointwise>();
      op->function = on_bytes(*std::move(program), inputs);
      node.op = std::move(op);
    }
    LATHE_CHECK(g.reinfer(id));  // all of them: sizes that depend on data get new names
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const DType wanted = type_of(outputs[i]);
    if (!dtype_packed(wanted) || g.value(outputs[i]).dtype == wanted) continue;
    auto op = std::make_shared<ops::Pack>();
    op->to = wanted;
    LATHE_TRY(g.outputs[i], g.add(std::move(op), {outputs[i]}, g.value(outputs[i]).name));
    ++changes;
  }
  return changes;
}

}  // namespace lathe::passes
