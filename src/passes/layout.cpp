// SPDX-License-Identifier: Apache-2.0
// Transposes sink: op(T(a), T(b)) becomes T(op'(a, b)), until T meets its inverse, an output, or an operator that must
// see the permuted data. What one sinking costs or gains is estimated in moved elements (see worth_it); each either
// goes downstream or lowers the sum, so the pass ends.
#include <algorithm>

#include "ops/elementwise.h"
#include "ops/reshape.h"
#include "ops/transpose.h"
#include "passes/layout_sink.h"
#include "passes/passes.h"

namespace lathe::passes {

namespace {

using rewrite::Perm;

// How far downstream the search for an inverse transpose goes.
constexpr int kMaxLookahead = 12;
constexpr int kMaxRounds = 200;

class Sinker {
 public:
  explicit Sinker(Graph& g) : g_(g) {}

  Result<int> run() {
    int changes = 0;
    for (int round = 0; round < kMaxRounds; ++round) {
      int now = 0;
      for (const NodeId t : g_.order()) {
        if (!is_transpose(t)) continue;
        LATHE_TRY(const int moved, sink(t));
        now += moved;
      }
      if (now == 0) break;
      changes += now;
    }
    return changes;
  }

 private:
  [[nodiscard]] bool is_transpose(NodeId n) const {
    return g_.node(n).alive() && g_.node(n).epilogue.empty() && g_.node(n).as<ops::Transpose>() != nullptr;
  }

  // Moves transpose `t` past as many of its users as can be.
  Result<int> sink(NodeId t) {
    int moved = 0;
    const ValueId out = g_.node(t).outputs[0];
    const Perm perm = g_.node(t).as<ops::Transpose>()->perm;
    std::vector<NodeId> users = g_.value(out).users;
    std::sort(users.begin(), users.end());
    users.erase(std::unique(users.begin(), users.end()), users.end());
    for (const NodeId u : users) {
      if (!g_.node(u).alive()) continue;
      LATHE_TRY(const bool done, sink_past(u, out, perm));
      moved += done;
    }
    if (g_.value(out).users.empty() && !g_.is_output(out)) g_.remove_node(t);
    return moved;
  }

  Result<bool> sink_past(NodeId user, ValueId out, const Perm& perm) {
    const std::string name = g_.node(user).name;
    if (is_transpose(user)) {
      const Perm second = g_.node(user).as<ops::Transpose>()->perm;
      LATHE_TRY(const ValueId joined, rewrite::transpose(g_, out, second, name));
      rewrite::replace_node(g_, user, joined);
      return true;
    }
    const auto plan = plan_sink(g_, user, out, perm);
    if (!plan || !worth_it(user, *plan)) return false;
    LATHE_TRY(const ValueId moved, apply_sink(g_, user, *plan));
    LATHE_TRY(const ValueId back, rewrite::transpose(g_, moved, plan->perm, name));
    rewrite::replace_node(g_, user, back);
    return true;
  }

  [[nodiscard]] double cost(const Shape& shape, const Perm& perm) const {
    return rewrite::moves_only_units(shape, perm) ? 0 : rewrite::elements(g_, shape);
  }

  // Transposes before and after: those on the operands that vanish, those that other operands need in exchange, and the
  // one on the result, unless an inverse waits for it.
  [[nodiscard]] bool worth_it(NodeId user, const Sink& plan) const {
    double before = 0, after = 0;
    bool inserts = false;
    std::vector<ValueId> seen;
    for (const auto& operand : plan.operands) {
      if (std::find(seen.begin(), seen.end(), operand.value) != seen.end()) continue;
      seen.push_back(operand.value);
      if (operand.value == kNoId || operand.perm.empty() || g_.value(operand.value).constant) continue;
      const auto* t = rewrite::made_by<ops::Transpose>(g_, operand.value);
      if (t && rewrite::is_identity(rewrite::chain(t->perm, inverse_of(operand)))) {
        if (vanishes(operand.value)) before += cost(g_.value(rewrite::source(g_, operand.value)).shape, t->perm);
      } else {
        inserts = true;
        after += cost(operand.shape, inverse_of(operand));
      }
    }
    const ValueId result = g_.node(user).outputs[0];
    Shape moved = g_.value(result).shape;
    for (size_t d = 0; d < moved.size(); ++d) moved[static_cast<size_t>(plan.perm[d])] = g_.value(result).shape[d];
    const double onward = cost(moved, plan.perm);
    const Want want = wanted(result, plan.perm, 0);
    if (want == Want::kByAll)
      after -= inserts ? onward : 0;  // the inverse goes, too
    else if (want == Want::kByNone)
      after += onward;
    if (inserts) return after < before || (after <= before && before > 0 && all_free(plan));
    // Nothing is added: sinking is progress unless the result is larger and nobody waits for it.
    return want != Want::kByNone || after <= before;
  }

  // Whether all users of a transpose let it pass, so that it is not needed in its place.
  [[nodiscard]] bool vanishes(ValueId v) const {
    const auto& users = g_.value(v).users;
    const auto* t = rewrite::made_by<ops::Transpose>(g_, v);
    return !g_.is_output(v) && std::all_of(users.begin(), users.end(),
                                           [&](NodeId u) { return is_transpose(u) || plan_sink(g_, u, v, t->perm); });
  }

  [[nodiscard]] bool all_free(const Sink& plan) const {
    return std::all_of(plan.operands.begin(), plan.operands.end(), [&](const Operand& o) {
      if (o.value == kNoId || o.perm.empty() || g_.value(o.value).constant) return true;
      const auto* t = rewrite::made_by<ops::Transpose>(g_, o.value);
      if (t && rewrite::is_identity(rewrite::chain(t->perm, inverse_of(o)))) return true;
      return cost(o.shape, inverse_of(o)) == 0;
    });
  }

  static Perm inverse_of(const Operand& o) { return rewrite::inverse(o.perm); }

  enum class Want : uint8_t { kByNone, kBySome, kByAll };

  // Whether users of `v` undo Transpose(perm), directly or after operators it can sink past.
  [[nodiscard]] Want wanted(ValueId v, const Perm& perm, int depth) const {
    const auto& users = g_.value(v).users;
    if (depth > kMaxLookahead || users.size() > 64) return Want::kByNone;
    size_t wanting = 0;
    for (const NodeId u : users) {
      if (is_transpose(u)) {
        const Perm rest = rewrite::chain(perm, g_.node(u).as<ops::Transpose>()->perm);
        Shape before = g_.value(v).shape;
        for (size_t d = 0; d < before.size(); ++d) before[static_cast<size_t>(perm[d])] = g_.value(v).shape[d];
        wanting += rewrite::moves_only_units(before, rest);
        continue;
      }
      const auto plan = plan_sink(g_, u, v, perm);
      if (!plan) continue;
      const ValueId result = g_.node(u).outputs[0];
      wanting += rewrite::is_identity(plan->perm) || wanted(result, plan->perm, depth + 1) != Want::kByNone;
    }
    if (wanting == 0) return Want::kByNone;
    return wanting == users.size() && !g_.is_output(v) ? Want::kByAll : Want::kBySome;
  }

  Graph& g_;
};

// What is left and moves no data is a reshape.
Result<int> units_to_reshapes(Graph& g) {
  int changes = 0;
  for (const NodeId id : g.order()) {
    const auto* t = g.node(id).as<ops::Transpose>();
    if (!t || !g.node(id).epilogue.empty()) continue;
    const ValueId x = g.node(id).inputs[0], y = g.node(id).outputs[0];
    if (!rewrite::moves_only_units(g.value(x).shape, t->perm) ||
        !rewrite::can_reshape(g.value(x).shape, g.value(y).shape))
      continue;
    const Shape shape = g.value(y).shape;
    const std::string name = g.node(id).name;
    LATHE_TRY(const ValueId r, rewrite::reshape(g, x, shape, name));
    rewrite::replace_node(g, id, r);
    ++changes;
  }
  return changes;
}

}  // namespace

Result<int> layout(Graph& g, const PassOptions&) {
  LATHE_TRY(int changes, Sinker(g).run());
  LATHE_TRY(const int reshapes, units_to_reshapes(g));
  changes += reshapes + g.remove_dead();
  return changes;
}

}  // namespace lathe::passes
