// SPDX-License-Identifier: Apache-2.0
#include "ops/pointwise.h"

namespace lathe::ops {

Status Pointwise::check(std::span<const DType> inputs) const {
  for (const Step& s : function.steps) {
    if (s.prim != Prim::kInput) continue;
    const DType got = inputs[static_cast<size_t>(s.integer)];
    if (got != s.dtype)
      return fail(Code::kUsage, "input " + std::to_string(s.integer) + " is " + std::string(dtype_name(got)) +
                                    ", the program takes " + std::string(dtype_name(s.dtype)));
  }
  return {};
}

std::optional<Program> Pointwise::program(std::span<const DType> inputs) const {
  if (function.results.empty() || static_cast<int>(inputs.size()) != function.inputs || !check(inputs))
    return std::nullopt;
  return function;
}

const OpInfo& op_pointwise() { return op_info<Pointwise>(); }

}  // namespace lathe::ops
