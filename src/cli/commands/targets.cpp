// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/compiler_library.h"

namespace lathe::cli {
namespace {

Status targets(const Output& out) {
  LATHE_TRY(const compiler::Table* table, compiler_library());
  Json document = Json::array();
  Table rows({"target", "arch", "", "needs"});
  for (const compiler::TargetInfo& t : table->targets()) {
    document.push_back({{"name", t.name},
                        {"arch", t.arch},
                        {"needs", t.needs},
                        {"runs_here", t.runs_here},
                        {"is_host_default", t.is_host_default}});
    rows.add({t.name, t.arch,
              t.is_host_default ? "host"
              : t.runs_here     ? "runs here"
                                : "",
              fmt::format("{}", fmt::join(t.needs, " "))});
  }
  out.text(rows.text(120));
  out.document({{"targets", document}});
  return {};
}

}  // namespace

void add_targets(Commands& commands) {
  commands.add("targets", "List what engines can be built for", "lathe targets --json", targets);
}

}  // namespace lathe::cli
