// SPDX-License-Identifier: Apache-2.0
#include "cli/profile.h"

#include <algorithm>
#include <numeric>

namespace lathe::cli {
namespace {

/// Units of 1e9 a second; flops and bytes are those of the opt point.
std::string per_second(double amount, double nanoseconds) {
  return amount > 0 && nanoseconds > 0 ? fmt::format("{:.1f}", amount / nanoseconds) : "-";
}

}  // namespace

Json chrome_trace(const Profile& profile) {
  Json events = Json::array();
  double at = 0;
  for (size_t i = 0; i < profile.plan.instrs.size(); ++i) {
    const PlanInstr& instr = profile.plan.instrs[i];
    const double ns = profile.nanoseconds[i];
    if (instr.kind != PlanInstr::Kind::kKernel || ns <= 0) continue;
    events.push_back({{"name", instr.op},
                      {"cat", "kernel"},
                      {"ph", "X"},
                      {"ts", at / 1e3},
                      {"dur", ns / 1e3},
                      {"pid", 1},
                      {"tid", 1},
                      {"args",
                       {{"instruction", i},
                        {"node", instr.node},
                        {"tactic", instr.tactic},
                        {"gflop_per_s", instr.flops / ns},
                        {"gbyte_per_s", instr.traffic / ns}}}});
    at += ns;
  }
  return {{"displayTimeUnit", "ms"}, {"traceEvents", events}};
}

std::string profile_table(const Profile& profile, size_t rows) {
  std::vector<size_t> order(profile.plan.instrs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return profile.plan.instrs[i].kind != PlanInstr::Kind::kKernel; });
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return profile.nanoseconds[i]; });
  const double total = std::max(1.0, std::accumulate(profile.nanoseconds.begin(), profile.nanoseconds.end(), 0.0));

  Table table({">ms", ">%", ">GFLOP/s", ">GB/s", "op", "tactic", "node"});
  const size_t shown = rows ? std::min(rows, order.size()) : order.size();
  for (size_t i = 0; i < shown; ++i) {
    const PlanInstr& instr = profile.plan.instrs[order[i]];
    const double ns = profile.nanoseconds[order[i]];
    table.add({fmt::format("{:.4f}", ns / 1e6), fmt::format("{:.1f}", 100 * ns / total), per_second(instr.flops, ns),
               per_second(instr.traffic, ns), instr.op, instr.tactic, instr.node});
  }
  std::string text = table.text();
  if (shown < order.size()) text += fmt::format("… {} more kernels; -v shows all\n", order.size() - shown);
  return text;
}

}  // namespace lathe::cli
