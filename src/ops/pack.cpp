// SPDX-License-Identifier: Apache-2.0
#include "ops/pack.h"

#include "ops/_data.h"
#include "ops/unpack.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Pack::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  if (!dtype_packed(to) || inputs[0].dtype != unpacked_type(to))
    return fail(Code::kUsage,
                std::string(dtype_name(inputs[0].dtype)) + " cannot be packed to " + std::string(dtype_name(to)));
  return one(to, inputs[0].shape);
}

Result<std::vector<Tensor>> Pack::evaluate(std::span<const Tensor> inputs) const {
  Tensor y = Tensor::zeros(to, inputs[0].dims());
  const auto from = inputs[0].as<uint8_t>();
  for (size_t i = 0; i < from.size(); ++i) set_packed(to, y.mutable_bytes().data(), static_cast<int64_t>(i), from[i]);
  return one(std::move(y));
}

const OpInfo& op_pack() { return op_info<Pack>(); }

}  // namespace lathe::ops
