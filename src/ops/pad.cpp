// SPDX-License-Identifier: Apache-2.0
#include "ops/pad.h"

#include <algorithm>

#include "ops/_data.h"

namespace lathe::ops {

namespace {

// Where padded coordinate i (relative to the input's first element) is taken from; -1: the constant.
int64_t source(const std::string& mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (n == 0 || mode == "constant") return -1;
  if (mode == "edge") return std::clamp<int64_t>(i, 0, n - 1);
  if (mode == "wrap") return ((i % n) + n) % n;
  if (n == 1) return 0;
  const int64_t period = 2 * (n - 1), at = ((i % period) + period) % period;  // reflect
  return at < n ? at : period - at;
}

}  // namespace

Result<std::vector<ValueInfo>> Pad::infer(std::span<const ValueInfo> inputs, const FreshSymbol& fresh) const {
  LATHE_CHECK(check_inputs(inputs, 2, 3));
  const ValueInfo& x = inputs[0];
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap")
    return fail(Code::kUsage, "mode \"" + mode + "\" is not constant, reflect, edge or wrap");
  const auto pads = content_of(inputs[1]);
  Shape y = x.shape;
  if (inputs[1].rank() != 1 || (inputs[1].shape[0].is_const() && inputs[1].shape[0].value() != 2 * x.rank()))
    return fail(Code::kUsage, "needs " + std::to_string(2 * y.size()) + " pads");
  if (!pads) {
    for (Dim& d : y) d = fresh("pad");
    return one(x.dtype, std::move(y));
  }
  if (pads->size() != 2 * y.size())
    return fail(Code::kUsage, "needs " + std::to_string(2 * y.size()) + " pads, not " + std::to_string(pads->size()));
  if (has(inputs, 2) && inputs[2].dtype != x.dtype)
    return fail(Code::kUsage, "the padding value has another type than the input");
  for (size_t d = 0; d < y.size(); ++d) {
    const Dim &before = (*pads)[d], &after = (*pads)[y.size() + d];
    for (const Dim& p : {before, after})
      if (p.is_const() && (p.value() > INT32_MAX || p.value() < -INT32_MAX))
        return fail(Code::kUnsupported, "pad " + p.str() + " is too large");
    y[d] = y[d] + before + after;
    if (y[d].is_const() && y[d].value() < 0)
      return fail(Code::kUsage, "pads remove more than the whole dimension " + std::to_string(d));
  }
  return one(x.dtype, std::move(y));
}

Result<std::vector<Tensor>> Pad::evaluate(std::span<const Tensor> inputs) const {
  const Tensor& x = inputs[0];
  const auto pads = inputs[1].to_i64();
  const size_t rank = x.dims().size();
  const auto strides = strides_of(x.dims());
  std::vector<int64_t> dims = x.dims();
  for (size_t d = 0; d < rank; ++d) dims[d] += pads[d] + pads[rank + d];
  Elements out(x.dtype(), dims);
  for_each_index(dims, [&](const std::vector<int64_t>& index, int64_t i) {
    int64_t at = 0;
    bool inside = true;
    for (size_t d = 0; d < rank; ++d) {
      const int64_t s = source(mode, index[d] - pads[d], x.dims()[d]);
      inside = inside && s >= 0;
      at += s * strides[d];
    }
    if (inside)
      out.put(i, x, at);
    else if (has(inputs, 2))
      out.put(i, inputs[2], 0);
  });
  return one(out.take());
}

const OpInfo& op_pad() { return op_info<Pad>(); }

}  // namespace lathe::ops
