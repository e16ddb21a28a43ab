// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/npz.h"
#include "cli/output.h"
#include "engine/plan.h"
#include "runtime/session.h"

namespace lathe::cli {

/// `x: float32 [batch, 3, 224, 224]`
std::string port_text(const Plan& plan, const PlanPort& port);
/// {"name", "dtype", "shape": [1, "batch", …]}
Json port_json(const Plan& plan, const PlanPort& port);

/// Inputs from `npz` ("" for none) and `files` ("name=FILE": an npy file, or raw bytes in the engine's layout), in the
/// plan's order. Names, types and shapes are compared with the plan before any data is read. kUsage: an unknown name
/// (with the nearest known one), a wrong type or shape (expected and got), or missing inputs (all are listed).
[[nodiscard]] Result<std::vector<Tensor>> read_inputs(const Plan& plan, const std::string& npz,
                                                      const std::vector<std::string>& files);

/// Reproducible inputs for measuring: floats in [-1, 1), integers 0 or 1 (valid as masks and as indices). Symbolic
/// dimensions take the shape given in `shapes` ("name=1x3x224x224") or else their value to optimise for.
[[nodiscard]] Result<std::vector<Tensor>> random_inputs(const Plan& plan, const std::vector<std::string>& shapes,
                                                        uint64_t seed);

[[nodiscard]] Status bind_inputs(Session& session, std::span<const Tensor> inputs);
/// Copies of the outputs of the last run.
[[nodiscard]] Result<std::vector<NamedTensor>> read_outputs(Session& session);

/// Element `index` as a number; NaN for types without one (strings, complex, 8- and 4-bit floats).
double element(const Tensor& tensor, size_t index);
size_t element_count(const Tensor& tensor);

}  // namespace lathe::cli
