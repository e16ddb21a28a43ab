// SPDX-License-Identifier: Apache-2.0
#include "ops/read_sizes.h"

#include "ops/_data.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> ReadSizes::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 1, 1));
  const ValueInfo& x = inputs[0];
  const auto count = product(x.shape).as_const();
  if (x.dtype != DType::kI64 || x.rank() > 1 || !count || *count > 64)
    return fail(Code::kUnsupported, "sizes must be up to 64 numbers of type i64, their count known");
  auto out = one(x.dtype, x.shape);
  out[0].content = content_of(x);
  if (out[0].content) return out;
  if (static_cast<int64_t>(symbols.size()) != *count) return fail(Code::kUsage, "needs a symbol for each number");
  out[0].content.emplace();
  for (const auto& s : symbols) out[0].content->push_back(Dim::symbol(s));
  return out;
}

Result<std::vector<Tensor>> ReadSizes::evaluate(std::span<const Tensor> inputs) const { return one(inputs[0]); }

const OpInfo& op_read_sizes() { return op_info<ReadSizes>(); }

}  // namespace lathe::ops
