// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "quant/calibrator.h"
#include "quant/scheme.h"

namespace lathe::quant {

/// What was seen of the values of a scheme: its groups' roots and its layers' inputs.
using Observations = std::map<ValueId, Observation>;

struct ApplyOptions {
  Calibrator calibrator = Calibrator::kMse;
  double percentile = 99.99;
  DType activations = DType::kU8;  ///< or kI8, symmetric
  bool correct_bias = true;
};

/// Range and storage of each group, by its roots' observations.
std::vector<Params> choose_params(const Scheme& scheme, const Observations& seen, const ApplyOptions& options);

/// Writes Quantize and Dequantize around the layers for which `chosen` (one a layer) is true:
///
///     root → Quantize → Dequantize → … → layer ← Dequantize ← i8 constant        bias: i32 constant → Dequantize
///
/// All that uses a root then uses what is left of it; a graph output that is a root stays as it was. Values keep their
/// ids, so the scheme is valid for the result as far as results and names go.
Status apply(Graph& graph, const Scheme& scheme, const std::vector<bool>& chosen, const std::vector<Params>& params,
             const Observations& seen, const ApplyOptions& options);

}  // namespace lathe::quant
