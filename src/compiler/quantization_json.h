// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "lathe/compiler.hpp"

namespace lathe::compiler {

/// The report as the command line's --json and Python have it (docs/cli.md). In a header: neither is linked to more of
/// the compiler than its table.
inline nlohmann::ordered_json quantization_json(const QuantizeReport& r) {
  using Json = nlohmann::ordered_json;
  Json layers = Json::array(), outputs = Json::array(), tried = Json::object();
  for (const auto& l : r.layers) {
    Json layer = {{"name", l.name},     {"op", l.op},         {"precision", l.precision},
                  {"snr_db", l.snr_db}, {"cosine", l.cosine}, {"flops", l.flops}};
    if (!l.why.empty()) layer["why"] = l.why;
    if (l.alone_snr_db != 0) layer["alone_snr_db"] = l.alone_snr_db;
    if (l.fp32_ms != 0) layer["ms"] = {{"fp32", l.fp32_ms}, {"int8", l.int8_ms}};
    layers.push_back(std::move(layer));
  }
  for (const auto& o : r.outputs)
    outputs.push_back({{"name", o.name}, {"snr_db", o.snr_db}, {"cosine", o.cosine}, {"max_abs_diff", o.max_abs_diff}});
  for (const auto& [name, snr] : r.tried) tried[name] = snr;
  return {{"calibrator", r.calibrator},
          {"tried_snr_db", tried},
          {"samples",
           {{"calibration", r.calibration_samples},
            {"search", r.search_samples},
            {"evaluation", r.evaluation_samples},
            {"disjoint", r.disjoint}}},
          {"loss_percent", r.loss},
          {"outputs", outputs},
          {"layers", layers},
          {"warnings", r.warnings}};
}

}  // namespace lathe::compiler
