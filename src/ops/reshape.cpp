// SPDX-License-Identifier: Apache-2.0
#include "ops/reshape.h"

#include "ops/_data.h"

namespace lathe::ops {

namespace {

// The wanted sizes with 0 (copy the input's) and -1 (what is left) resolved. Symbolic sizes are taken to be positive.
Result<Shape> resolve(const Shape& x, const std::vector<Dim>& wanted, bool allow_zero) {
  Shape y = wanted;
  int infer_at = -1;
  Dim known = 1;
  for (size_t d = 0; d < y.size(); ++d) {
    if (y[d].equals(0) && !allow_zero) {
      if (d >= x.size()) return fail(Code::kUsage, "size 0 copies a dimension that the input does not have");
      y[d] = x[d];
    } else if (y[d].equals(-1)) {
      if (infer_at >= 0) return fail(Code::kUsage, "more than one size is -1");
      infer_at = static_cast<int>(d);
      continue;
    } else if (y[d].is_const() && y[d].value() < 0) {
      return fail(Code::kUsage, "negative size " + y[d].str());
    }
    known = known * y[d];
  }
  const Dim total = product(x);
  const std::string what = shape_str(x) + " cannot be reshaped to " + shape_str(wanted);
  if (infer_at >= 0) {
    // Dimensions that are copied cancel, which keeps the quotient simple.
    if (known.equals(0) && total.equals(0)) {
      y[static_cast<size_t>(infer_at)] = 0;
      return y;
    }
    if (known.equals(0) || (total.is_const() && known.is_const() && total.value() % known.value() != 0))
      return fail(Code::kUsage, what);
    y[static_cast<size_t>(infer_at)] = floor_div(total, known);
  } else if (total.is_const() && known.is_const() && !(total == known)) {
    return fail(Code::kUsage, what + ": " + total.str() + " elements against " + known.str());
  }
  return y;
}

}  // namespace

Result<std::vector<ValueInfo>> Reshape::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 2));
  const ValueInfo &x = inputs[0], &shape = inputs[1];
  if (shape.rank() != 1)
    return fail(Code::kUsage, "the shape must be a vector, not of rank " + std::to_string(shape.rank()));
  const auto wanted = content_of(shape);
  if (!wanted) {
    const auto rank = shape.shape[0].as_const();
    if (!rank) return fail(Code::kUnsupported, "the rank of the result depends on data");
    Shape y;
    for (int64_t d = 0; d < *rank; ++d) y.push_back(fresh("reshape"));
    return one(x.dtype, std::move(y));
  }
  LATHE_TRY(Shape y, resolve(x.shape, *wanted, allow_zero));
  auto out = one(x.dtype, std::move(y));
  if (out[0].shape.size() <= 1) out[0].content = content_of(x);
  return out;
}

Result<std::vector<Tensor>> Reshape::evaluate(std::span<const Tensor> inputs) const {
  const auto wanted = to_shape(inputs[1].to_i64());
  LATHE_TRY(const Shape y, resolve(to_shape(inputs[0].dims()), wanted, allow_zero));
  return one(inputs[0].reshaped(*static_dims(y)));
}

const OpInfo& op_reshape() { return op_info<Reshape>(); }

}  // namespace lathe::ops
