// SPDX-License-Identifier: Apache-2.0
#include "ops/lookup.h"

#include <cmath>

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Lookup::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 4, 4));
  const DType t = inputs[0].dtype;
  if (t != DType::kF32 && t != DType::kF64 && t != DType::kI32 && t != DType::kI64)
    return fail(Code::kUnsupported, "keys of type " + std::string(dtype_name(t)) + " are not supported");
  if (inputs[1].dtype != t) return fail(Code::kUsage, "the keys are of another type");
  if (inputs[1].rank() != 1 || inputs[2].rank() != 1 || !(inputs[1].shape[0] == inputs[2].shape[0]))
    return fail(Code::kUsage, "keys and values must be vectors of one length");
  if (inputs[3].rank() != 0 || inputs[3].dtype != inputs[2].dtype)
    return fail(Code::kUsage, "the default must be a scalar of the values' type");
  return one(inputs[2].dtype, inputs[0].shape);
}

Result<std::vector<Tensor>> Lookup::evaluate(std::span<const Tensor> inputs) const {
  const Tensor &x = inputs[0], &keys = inputs[1];
  const bool real = dtype_info(x.dtype()).is_float;
  Elements y(inputs[2].dtype(), x.dims());
  for (int64_t i = 0; i < x.count(); ++i) {
    int64_t found = -1;
    for (int64_t k = 0; k < keys.count() && found < 0; ++k) {
      const double a = x.f64_at(i), b = keys.f64_at(k);
      if (real ? a == b || (std::isnan(a) && std::isnan(b)) : x.i64_at(i) == keys.i64_at(k)) found = k;
    }
    if (found >= 0)
      y.put(i, inputs[2], found);
    else
      y.put(i, inputs[3], 0);
  }
  return one(y.take());
}

const OpInfo& op_lookup() { return op_info<Lookup>(); }

}  // namespace lathe::ops
