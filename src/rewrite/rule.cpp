// SPDX-License-Identifier: Apache-2.0
#include "rewrite/rule.h"

namespace lathe::rewrite {

#define LATHE_RULE_ENTRY(stem) const Rule& rule_##stem();
#include "rules_list.inc"
#undef LATHE_RULE_ENTRY

std::span<const Rule* const> all_rules() {
  static const std::vector<const Rule*> list = {
#define LATHE_RULE_ENTRY(stem) &rule_##stem(),
#include "rules_list.inc"
#undef LATHE_RULE_ENTRY
  };
  return list;
}

const Rule* find_rule(std::string_view name) {
  for (const Rule* r : all_rules())
    if (r->name == name) return r;
  return nullptr;
}

namespace {

// Every rule makes the graph smaller or moves it towards a normal form; this bound only ends what a wrong rule starts.
constexpr size_t kMaxChangesPerNode = 64;

}  // namespace

Result<std::vector<Change>> apply_rules(Graph& g, std::span<const Rule* const> rules, Exactness allowed) {
  std::vector<Change> log;
  const size_t limit = kMaxChangesPerNode * (g.node_count() + 16);
  for (bool again = true; again;) {
    again = false;
    for (const NodeId id : g.order()) {
      for (const Rule* rule : rules) {
        if (!g.node(id).alive()) break;
        const Node& n = g.node(id);
        if (rule->exactness > allowed || !n.epilogue.empty() || (!rule->root.empty() && rule->root != n.op->name()))
          continue;
        const std::string name = n.name;
        const auto changed = rule->apply(g, id);
        if (!changed)
          return fail(changed.error().code,
                      "rule " + std::string(rule->name) + " at node \"" + name + "\": " + changed.error().message);
        if (!*changed) continue;
        log.push_back({rule->name, name});
        again = true;
        if (log.size() > limit)
          return fail(Code::kFailed, "rule " + std::string(rule->name) + " does not come to an end");
      }
    }
    g.remove_dead();
  }
  return log;
}

}  // namespace lathe::rewrite
