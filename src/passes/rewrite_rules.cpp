// SPDX-License-Identifier: Apache-2.0
#include "passes/passes.h"
#include "rewrite/rule.h"

namespace lathe::passes {

Result<int> rewrite_rules(Graph& g, const PassOptions& options) {
  using rewrite::Exactness;
  const Exactness allowed = options.math == Math::kFast ? Exactness::kApproximates : Exactness::kReassociates;
  LATHE_TRY(const auto log, rewrite::apply_rules(g, rewrite::all_rules(), allowed));
  return static_cast<int>(log.size());
}

}  // namespace lathe::passes
