// SPDX-License-Identifier: Apache-2.0
// Control flow. Conditions that are known at import are followed there: a branch is taken in place, and a loop that
// counts is unrolled. Others become If and Loop.
#include "import/tflite/handlers.h"
#include "import/tflite/importer.h"
#include "ops/if.h"
#include "ops/loop.h"

namespace lathe::tflite {

namespace {

constexpr int kMaxTrips = 1024;
constexpr size_t kMaxUnrolled = 100'000;  // nodes

// A truth value known at import.
std::optional<bool> known(const Node& n, ValueId v) {
  const Tensor* t = n.b.constant_of(v);
  if (!t || t->count() != 1) return std::nullopt;
  return t->i64_at(0) != 0;
}

// Of a condition that depends on data, the branch is taken when the model runs.
Result<Values> either(Node& n, const fb::IfOptions& o) {
  const Values given(n.inputs().begin() + 1, n.inputs().end());
  for (const ValueId v : given)
    if (v == kNoId) return damaged("an input of its branches is absent");
  const auto op = std::make_shared<ops::If>();
  const auto branch = [&](int32_t index) {
    return n.importer().nest(
        {}, given, [&, index](const Values&, const Values& in) { return n.importer().inline_subgraph(index, in); });
  };
  auto yes = branch(o.then_subgraph());
  auto no = branch(o.else_subgraph());
  if (!yes) return std::unexpected(yes.error());
  if (!no) return std::unexpected(no.error());
  op->then_graph = yes->graph;
  op->else_graph = no->graph;
  Values inputs = {n.in(0)};
  inputs.insert(inputs.end(), yes->captured.begin(), yes->captured.end());
  return n.done(n.b.add_all(op, std::move(inputs)));
}

// A loop from `state` on whose first condition is `go_on`. What the body hands on as it is is not carried.
Result<Values> loop_from(Node& n, const fb::WhileOptions& o, const Values& state, ValueId go_on) {
  Importer& importer = n.importer();
  LATHE_TRY(const auto same, importer.handed_on(o.body_subgraph()));
  if (same.size() != state.size()) return damaged("its body does not give back what it takes");
  Values carried, given;
  std::vector<ValueInfo> types = {{DType::kI64, {}, nullptr, {}}, {DType::kBool, {}, nullptr, {}}};
  for (size_t i = 0; i < state.size(); ++i) {
    if (state[i] == kNoId) return damaged("an input is absent");
    (same[i] ? given : carried).push_back(state[i]);
    if (!same[i]) types.push_back({n.b.dtype(state[i]), n.b.shape(state[i]), nullptr, {}});
  }
  const auto body = [&](const Values& own, const Values& constant) -> Result<Values> {
    const auto all = [&](const Values& changing) {
      Values v;
      for (size_t i = 0, k = 0, c = 0; i < same.size(); ++i) v.push_back(same[i] ? constant[c++] : changing[k++]);
      return v;
    };
    LATHE_TRY(const Values made, importer.inline_subgraph(o.body_subgraph(), all({own.begin() + 2, own.end()})));
    Values next;
    for (size_t i = 0; i < same.size(); ++i)
      if (!same[i]) next.push_back(made[i]);
    LATHE_TRY(const Values again, importer.inline_subgraph(o.cond_subgraph(), all(next)));
    if (again.size() != 1) return damaged("its condition has " + std::to_string(again.size()) + " results");
    next.insert(next.begin(), importer.builder().reshape(again[0], {}));
    return next;
  };
  // Sizes that a round changes become symbols of the body, until none does that is not one.
  std::vector<std::vector<bool>> changing;
  for (const ValueInfo& t : types) changing.emplace_back(t.shape.size(), false);
  for (bool settled = false;;) {
    LATHE_TRY(auto nested, importer.nest(types, given, body));
    settled = true;
    for (size_t k = 2; k < types.size(); ++k) {
      const Shape& next = nested.graph->value(nested.graph->outputs[k - 1]).shape;
      Shape& now = types[k].shape;
      if (next.size() != now.size()) continue;  // the shape rule says what is wrong
      for (size_t d = 0; d < now.size(); ++d) {
        if (next[d] == now[d] || changing[k][d]) continue;
        now[d] = n.b.graph().fresh_symbol("carried");
        changing[k][d] = true;
        settled = false;
      }
    }
    if (!settled) continue;
    const auto op = std::make_shared<ops::Loop>();
    op->body = nested.graph;
    op->carried = static_cast<int64_t>(carried.size());
    Values inputs = {kNoId, n.b.reshape(go_on, {})};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    inputs.insert(inputs.end(), nested.captured.begin(), nested.captured.end());
    const Values last = n.b.add_all(op, std::move(inputs));
    if (!n.b.ok()) return std::unexpected(n.b.status().error());
    Values results;
    for (size_t i = 0, k = 0; i < same.size(); ++i) results.push_back(same[i] ? state[i] : last[k++]);
    return results;
  }
}

}  // namespace

// Inputs: the condition, then those of both branches.
Result<Values> if_else(Node& n) {
  const auto* o = n.options<fb::IfOptions>();
  if (!o || n.input_count() < 1) return damaged("it has no branches or no condition");
  const auto condition = known(n, n.in(0));
  if (!condition) return either(n, *o);
  return n.importer().inline_subgraph(*condition ? o->then_subgraph() : o->else_subgraph(),
                                      {n.inputs().begin() + 1, n.inputs().end()});
}

Result<Values> while_loop(Node& n) {
  const auto* o = n.options<fb::WhileOptions>();
  if (!o) return damaged("it has no condition and body");
  Values state = n.inputs();
  const size_t before = n.importer().node_count();
  for (int trip = 0;; ++trip) {
    LATHE_TRY(const Values result, n.importer().inline_subgraph(o->cond_subgraph(), state));
    if (result.size() != 1) return damaged("its condition has " + std::to_string(result.size()) + " results");
    const auto again = known(n, result[0]);
    if (!again) return loop_from(n, *o, state, result[0]);
    if (!*again) break;
    if (trip == kMaxTrips || n.importer().node_count() - before > kMaxUnrolled)
      return unsupported("a loop of more than " + std::to_string(kMaxTrips) + " rounds or " +
                         std::to_string(kMaxUnrolled) + " nodes is not supported");
    LATHE_TRY(state, n.importer().inline_subgraph(o->body_subgraph(), std::move(state)));
    if (state.size() != n.input_count()) return damaged("its body does not give back what it takes");
  }
  return state;
}

Result<Values> call(Node& n) {
  const auto* o = n.options<fb::CallOptions>();
  if (!o) return damaged("it has no subgraph");
  return n.importer().inline_subgraph(static_cast<int64_t>(o->subgraph()), n.inputs());
}

}  // namespace lathe::tflite
