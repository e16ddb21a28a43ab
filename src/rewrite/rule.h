// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "ir/graph.h"

namespace lathe::rewrite {

/// How much a rule may change results.
enum class Exactness : uint8_t {
  kExact,         ///< bit for bit (the sign of zero and NaN payloads aside)
  kReassociates,  ///< equal over the reals, rounded differently
  kApproximates   ///< not equal over the reals
};

/// One idea, in a file of its own in rules/, which defines `const Rule& rule_<stem>()`.
struct Rule {
  std::string_view name;
  Exactness exactness = Exactness::kExact;
  /// Operator of the node at which the rule starts; empty: any.
  std::string_view root;
  /// Looks at node `n`, which is alive, has this operator and no epilogue; true if the graph was changed. Straight-line
  /// guards, then the edit: a rule that says false has changed nothing.
  Result<bool> (*apply)(Graph& g, NodeId n) = nullptr;
};

/// All rules, in the order of their names; generated from the file names.
std::span<const Rule* const> all_rules();
const Rule* find_rule(std::string_view name);

/// What happened: for `lathe build -v` and for tests.
struct Change {
  std::string_view rule;
  std::string node;
};

/// Applies the rules that are at most as inexact as `allowed`, over and over, until none fits. Errors carry the rule's
/// name.
Result<std::vector<Change>> apply_rules(Graph& g, std::span<const Rule* const> rules, Exactness allowed);

}  // namespace lathe::rewrite
