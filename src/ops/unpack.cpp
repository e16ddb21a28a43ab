// SPDX-License-Identifier: Apache-2.0
#include "ops/unpack.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> Unpack::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  if (!dtype_packed(inputs[0].dtype))
    return fail(Code::kUsage, std::string(dtype_name(inputs[0].dtype)) + " is not packed");
  return one(unpacked_type(inputs[0].dtype), inputs[0].shape);
}

Result<std::vector<Tensor>> Unpack::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  Tensor y = Tensor::zeros(unpacked_type(x.dtype()), x.dims());
  const auto to = y.mutable_as<uint8_t>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = packed_at(x.dtype(), x.bytes().data(), static_cast<int64_t>(i));
  return one(std::move(y));
}

const OpInfo& op_unpack() { return op_info<Unpack>(); }

}  // namespace lathe::ops
