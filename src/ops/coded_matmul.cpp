// SPDX-License-Identifier: Apache-2.0
#include "ops/coded_matmul.h"

#include "ops/_data.h"
#include "ops/matmul.h"

namespace lathe::ops {

Result<std::vector<ValueInfo>> CodedMatMul::infer(std::span<const ValueInfo> inputs, const FreshSymbol&) const {
  LATHE_CHECK(check_inputs(inputs, 3, 4));
  const ValueInfo &a = inputs[0], &code = inputs[1], &scale = inputs[2];
  if (block < 1) return fail(Code::kUsage, "block must be at least 1");
  if (a.dtype != DType::kF32 || scale.dtype != DType::kF32) return fail(Code::kUsage, "a and scale must be f32");
  if (code.dtype != DType::kI8 && code.dtype != DType::kU8 && code.dtype != DType::kF8E4M3FN)
    return fail(Code::kUnsupported, "codes of " + std::string(dtype_name(code.dtype)) + " are not supported");
  if (a.rank() < 2 || code.rank() != 2) return fail(Code::kUsage, "operands must be matrices");
  const Dim k = code.shape[1];
  if (a.shape.back().is_const() && k.is_const() && !(a.shape.back() == k))
    return fail(Code::kUsage, "inner dimensions differ: " + shape_str(a.shape) + " by " + shape_str(code.shape));
  const Shape blocks = {code.shape[0], ceil_div(k, block)};
  if (!(scale.shape == blocks)) return fail(Code::kUsage, "scales " + shape_str(scale.shape) + " do not fit the codes");
  if (has(inputs, 3) && (inputs[3].dtype != code.dtype || !(inputs[3].shape == blocks)))
    return fail(Code::kUsage, "zero points do not fit the codes");
  Shape y(a.shape.begin(), a.shape.end() - 1);
  y.push_back(code.shape[0]);
  return one(DType::kF32, std::move(y));
}

Result<std::vector<Tensor>> CodedMatMul::evaluate(std::span<const Tensor> inputs) const {
  const std::vector<float> code = inputs[1].to_f32(), scale = inputs[2].to_f32();
  const std::vector<float> zero = has(inputs, 3) ? inputs[3].to_f32() : std::vector<float>(scale.size(), 0.0F);
  const int64_t n = inputs[1].dims()[0], k = inputs[1].dims()[1], blocks = (k + block - 1) / block;
  Tensor w = Tensor::zeros(DType::kF32, {n, k});
  const auto out = w.mutable_as<float>();
  for (int64_t c = 0; c < n; ++c)
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(c * k + i), of = static_cast<size_t>(c * blocks + i / block);
      out[at] = (code[at] - zero[of]) * scale[of];
    }
  MatMul product;
  product.trans_b = true;
  const Tensor operands[] = {inputs[0], std::move(w)};
  return product.evaluate(operands);
}

double CodedMatMul::flops(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs) const {
  const auto work = (product(outputs[0].shape) * inputs[1].shape[1]).as_const();
  return work ? 2.0 * static_cast<double>(*work) : 0;
}

const OpInfo& op_coded_matmul() { return op_info<CodedMatMul>(); }

}  // namespace lathe::ops
