// SPDX-License-Identifier: Apache-2.0
// Control flow. Conditions that are known at import are followed there: a branch is taken in place, and a loop that
// counts is unrolled. Of a condition that is not, both branches are computed.
#include "import/tflite/handlers.h"
#include "import/tflite/importer.h"

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

}  // namespace

// Inputs: the condition, then those of both branches.
Result<Values> if_else(Node& n) {
  const auto* o = n.options<fb::IfOptions>();
  if (!o || n.input_count() < 1) return damaged("it has no branches or no condition");
  const auto condition = known(n, n.in(0));
  if (!condition) {  // both branches are computed, and one of the results is taken
    const Values inputs(n.inputs().begin() + 1, n.inputs().end());
    LATHE_TRY(const Values yes, n.importer().inline_subgraph(o->then_subgraph(), inputs));
    LATHE_TRY(const Values no, n.importer().inline_subgraph(o->else_subgraph(), inputs));
    if (yes.size() != no.size()) return damaged("its branches differ in their results");
    Values taken;
    for (size_t i = 0; i < yes.size(); ++i) {
      if (n.b.dtype(yes[i]) != n.b.dtype(no[i]) || !(n.b.shape(yes[i]) == n.b.shape(no[i])))
        return unsupported("a condition that depends on data and results of different shapes are not supported");
      taken.push_back(n.b.op("Where", {n.b.reshape(n.in(0), {}), yes[i], no[i]}));
    }
    return n.done(std::move(taken));
  }
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
    if (!again) return unsupported("a loop whose number of rounds depends on data is not supported");
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
