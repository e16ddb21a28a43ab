// SPDX-License-Identifier: Apache-2.0
#include "cli/inspection.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/cpu_features.h"
#include "base/mapped_file.h"
#include "cli/npy.h"
#include "cli/session_io.h"
#include "engine/read.h"
#include "engine/size_program.h"

namespace lathe::cli {
namespace {

std::string as_string(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// The element types a kernel works on, those of its first buffers first: "float32", "uint8, int8, float32". Weights
/// packed for a kernel are bytes to the plan and say nothing.
std::string precision_of(const Plan& plan, const PlanInstr& instr) {
  std::vector<std::string_view> names;
  for (const BufferId id : instr.buffers) {
    if (id == kNone) continue;
    const PlanBuffer& buffer = plan.buffers[static_cast<size_t>(id)];
    if (buffer.place == PlanBuffer::Place::kWeight && buffer.dtype == DType::kU8) continue;
    const std::string_view name = numpy_name(buffer.dtype);
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Json node_json(const Plan& plan, size_t index) {
  const PlanInstr& instr = plan.instrs[index];
  if (instr.kind != PlanInstr::Kind::kKernel)
    return {{"instruction", index}, {"node", instr.node}, {"op", instr.op.empty() ? "control flow" : instr.op},
            {"tactic", ""},         {"kernel", nullptr},  {"where", "runtime"},
            {"precision", ""},      {"flops", 0},         {"bytes", 0}};
  return {{"instruction", index},
          {"node", instr.node},
          {"op", instr.op},
          {"tactic", instr.tactic},
          {"kernel", plan.kernels[static_cast<size_t>(instr.kernel)].name},
          {"where", "cpu"},
          {"precision", precision_of(plan, instr)},
          {"flops", instr.flops},
          {"bytes", instr.traffic}};
}

bool runs_here(const EngineHead::Target& t) {
  return t.arch == host_cpu().arch &&
         std::ranges::all_of(t.features, [](const std::string& f) { return host_cpu().has(f); });
}

Json target_json(const EngineHead::Target& target, const Plan& plan) {
  Json nodes = Json::array();
  for (size_t i = 0; i < plan.instrs.size(); ++i) nodes.push_back(node_json(plan, i));
  return {{"name", target.name},
          {"arch", target.arch},
          {"needs", target.features},
          {"runs_here", runs_here(target)},
          {"code_bytes", target.code.size()},
          {"arena_bytes", plan.arena_bytes == kNone ? Json() : Json(plan.arena_bytes)},
          {"kernels", plan.kernels.size()},
          {"nodes", nodes}};
}

std::string ports_text(const Json& ports) {
  std::string out;
  for (const Json& p : ports) {
    std::vector<std::string> dims;
    for (const Json& d : p["shape"]) dims.push_back(as_string(d));
    out += fmt::format("  {}: {} [{}]\n", as_string(p["name"]), as_string(p["dtype"]), fmt::join(dims, ", "));
  }
  return out;
}

std::string arena_text(const Json& target) {
  const Json& bytes = target["arena_bytes"];
  return bytes.is_null() ? "depends on the shapes" : human_bytes(bytes.get<double>());
}

std::string count_text(double n) {
  return n >= 1e9   ? fmt::format("{:.3g} G", n / 1e9)
         : n >= 1e6 ? fmt::format("{:.3g} M", n / 1e6)
                    : fmt::format("{:.0f}", n);
}

std::vector<std::string> node_row(const Json& n) {
  return {as_string(n["node"]),
          as_string(n["op"]),
          n["kernel"].is_null() ? "-" : as_string(n["kernel"]),
          as_string(n["tactic"]),
          as_string(n["where"]),
          as_string(n["precision"]),
          count_text(n["flops"].get<double>())};
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string buffer_text(const Plan& plan, BufferId id) {
  if (id == kNone) return "-";
  static constexpr std::string_view kPlaces[] = {"in", "out", "w", "a", "d", "view", "state", "next"};
  const PlanBuffer& b = plan.buffers[static_cast<size_t>(id)];
  return fmt::format("{}{}:{}{}", kPlaces[static_cast<size_t>(b.place)], id, dtype_name(b.dtype),
                     size_format(plan, b.dims));
}

}  // namespace

Result<Json> inspect_engine(const std::string& path) {
  LATHE_TRY(const File file, File::open(path));
  LATHE_TRY(const EngineHead head, read_head(file));
  Json provenance = Json::object();
  for (const Property& p : head.provenance) provenance[p.key] = p.value;
  Json out = {{"engine", path},
              {"identity", to_hex(head.identity)},
              {"signed", head.is_signed},
              {"file_bytes", file.size()},
              {"weight_bytes", head.weights_bytes},
              {"provenance", provenance},
              {"inputs", Json::array()},
              {"outputs", Json::array()},
              {"states", Json::array()},
              {"symbols", Json::array()},
              {"targets", Json::array()}};
  for (size_t i = 0; i < head.targets.size(); ++i) {
    LATHE_TRY(const Plan plan, read_plan(head, i));
    if (i == 0) {
      for (const PlanPort& p : plan.inputs) out["inputs"].push_back(port_json(plan, p));
      for (const PlanPort& p : plan.outputs) out["outputs"].push_back(port_json(plan, p));
      for (const PlanState& s : plan.states) out["states"].push_back(port_json(plan, {s.name, s.buffer}));
      for (const PlanSymbol& s : plan.symbols)
        out["symbols"].push_back(
            {{"name", s.name}, {"min", s.min}, {"opt", s.opt}, {"max", s.max == INT64_MAX ? Json() : Json(s.max)}});
    }
    out["targets"].push_back(target_json(head.targets[i], plan));
  }
  return out;
}

std::string inspection_text(const Json& in) {
  std::string out =
      fmt::format("{}: {} ({} of weights), {}\n", as_string(in["engine"]), human_bytes(in["file_bytes"].get<double>()),
                  human_bytes(in["weight_bytes"].get<double>()), in["signed"].get<bool>() ? "signed" : "not signed");
  out += "inputs\n" + ports_text(in["inputs"]) + "outputs\n" + ports_text(in["outputs"]);
  if (!in["states"].empty()) out += "state, kept from one run to the next\n" + ports_text(in["states"]);
  for (const Json& s : in["symbols"])
    out += fmt::format("  symbol {}: {} to {}, optimised for {}\n", as_string(s["name"]), s["min"].dump(),
                       s["max"].is_null() ? "any" : s["max"].dump(), s["opt"].dump());
  for (const Json& t : in["targets"]) {
    out += fmt::format("\ntarget {}{}: code {}, arena {}, {} kernels\n", as_string(t["name"]),
                       t["runs_here"].get<bool>() ? "" : " (does not run here)",
                       human_bytes(t["code_bytes"].get<double>()), arena_text(t), t["kernels"].dump());
    Table table({"node", "op", "kernel", "tactic", "where", "precision", ">FLOP"});
    for (const Json& n : t["nodes"]) table.add(node_row(n));
    out += table.text();
  }
  return out;
}

std::string inspection_html(const Json& in, const std::string& title) {
  std::string out =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>" + escape(title) +
      "</title><style>body{font:15px system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222}"
      "table{border-collapse:collapse;font-size:13px}td,th{padding:3px 12px 3px 0;text-align:left;vertical-align:top;"
      "border-bottom:1px solid #e4e4e4;overflow-wrap:anywhere}th{color:#666;font-weight:600}"
      ".bar{background:linear-gradient(90deg,#bcd8f5 var(--w),transparent var(--w))}"
      "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}td,th{border-color:#333}"
      ".bar{background:linear-gradient(90deg,#234a73 var(--w),transparent var(--w))}}</style><h1>" +
      escape(title) + "</h1>";
  out += fmt::format("<p>{}, {} of weights, {}; identity <code>{}</code></p>",
                     human_bytes(in["file_bytes"].get<double>()), human_bytes(in["weight_bytes"].get<double>()),
                     in["signed"].get<bool>() ? "signed" : "not signed", as_string(in["identity"]));
  out += "<h2>Inputs and outputs</h2><pre>" + escape(ports_text(in["inputs"])) + "→\n" +
         escape(ports_text(in["outputs"])) + "</pre>";
  if (!in["states"].empty())
    out += "<h2>State, kept from one run to the next</h2><pre>" + escape(ports_text(in["states"])) + "</pre>";
  if (!in["provenance"].empty()) {
    out += "<h2>Provenance</h2><table>";
    for (const auto& [key, value] : in["provenance"].items())
      out += "<tr><th>" + escape(key) + "<td>" + escape(as_string(value));
    out += "</table>";
  }
  for (const Json& t : in["targets"]) {
    double most = 1;
    for (const Json& n : t["nodes"]) most = std::max(most, n["flops"].get<double>());
    out += fmt::format("<h2>{}</h2><p>code {}, arena {}, {} kernels</p><table><tr>", escape(as_string(t["name"])),
                       human_bytes(t["code_bytes"].get<double>()), arena_text(t), t["kernels"].dump());
    for (const char* head : {"Node", "Op", "Kernel", "Tactic", "Where", "Precision", "FLOP"})
      out += fmt::format("<th>{}", head);
    for (const Json& n : t["nodes"]) {
      auto row = node_row(n);
      const std::string flops = row.back();
      row.pop_back();
      out += "\n<tr>";
      for (const std::string& cell : row) out += "<td>" + escape(cell);
      out += fmt::format("<td class=\"bar\" style=\"--w:{:.1f}%\">{}", 100 * n["flops"].get<double>() / most, flops);
    }
    out += "</table>";
  }
  return out + "</html>\n";
}

Result<std::string> plan_text(const std::string& path) {
  LATHE_TRY(const File file, File::open(path));
  LATHE_TRY(const EngineHead head, read_head(file));
  if (head.targets.empty()) return fail(Code::kDamaged, path + ": the engine has no target");
  LATHE_TRY(const Plan plan, read_plan(head, 0));
  std::string out;
  for (const PlanPort& p : plan.inputs) out += "input " + port_text(plan, p) + "\n";
  for (size_t i = 0; i < plan.instrs.size(); ++i) {
    const PlanInstr& instr = plan.instrs[i];
    if (instr.kind == PlanInstr::Kind::kJump) {
      out += fmt::format("{:>4}: jump {}\n", i, instr.target);
      continue;
    }
    std::vector<std::string> buffers;
    for (const BufferId id : instr.buffers) buffers.push_back(buffer_text(plan, id));
    if (instr.kind == PlanInstr::Kind::kJumpIfFalse)
      out += fmt::format("{:>4}: jump {} unless {}\n", i, instr.target, fmt::join(buffers, ", "));
    else
      out += fmt::format("{:>4}: {}({}) tasks {}  # {} {}\n", i, plan.kernels[static_cast<size_t>(instr.kernel)].name,
                         fmt::join(buffers, ", "), size_format(plan, instr.tasks), instr.op, instr.node);
  }
  for (const PlanPort& p : plan.outputs) out += "output " + port_text(plan, p) + "\n";
  return out;
}

}  // namespace lathe::cli
